// The experts' weights as bars. Pulling a bar up pulls the mixture towards its expert; the choice
// and the slider below do the same from the keyboard.

export default {
  render({ model, el }) {
    el.classList.add('vdsm', 'vdsm-mixture');
    const head = make('div', el, { className: 'head' });
    make('b', head, { innerHTML: model.get('title') });
    const top = make('output', head);
    const bars = make('div', el, {
      className: 'bars', title: 'pull a bar up to pull the mixture towards its expert',
    });
    const fills = model.get('weights').map(() => make('span', make('div', bars)));
    const bar = make('div', el, { className: 'bar' });
    make('span', bar, { textContent: 'Towards' });
    const expert = make('select', bar, { ariaLabel: 'expert' });
    fills.forEach((_, i) => make('option', expert, { value: i, textContent: 'expert ' + i }));
    const pull = make('input', bar, {
      type: 'range', min: 0, max: 1, step: 0.01, ariaLabel: 'pull towards the expert',
    });
    const out = make('output', bar);
    const percent = x => (100 * x).toFixed(0) + ' %';

    function show() {
      const weights = model.get('weights'), most = Math.max(...weights);
      top.textContent = `most: expert ${weights.indexOf(most)}, ${percent(most)}`;
      weights.forEach((w, i) => {
        const column = fills[i].parentNode;
        const pulled = model.get('pull') > 0 && i === model.get('expert');
        fills[i].style.height = (100 * w) / most + '%';
        column.className = pulled ? 'on' : '';
        column.title = `expert ${i}: ${percent(w)}`;
      });
      expert.value = model.get('expert');
      if (+pull.value !== model.get('pull')) pull.value = model.get('pull');
      out.textContent = percent(model.get('pull'));
    }

    function set(expert, pull) {
      send(model, { expert, pull: Math.round(100 * Math.min(1, Math.max(0, pull))) / 100 });
      show();
    }

    bars.onpointerdown = event => {
      const i = fills.findIndex(fill => fill.parentNode.contains(event.target));
      if (i < 0) return;
      const from = event.clientY, before = i === model.get('expert') ? model.get('pull') : 0;
      bars.setPointerCapture(event.pointerId);
      bars.onpointermove = e => set(i, before + (from - e.clientY) / bars.clientHeight);
      bars.onpointerup = bars.onpointercancel = () => { bars.onpointermove = null; };
    };
    expert.onchange = () => set(+expert.value, model.get('pull'));
    pull.oninput = () => set(model.get('expert'), +pull.value);
    for (const key of ['weights', 'expert', 'pull']) model.on('change:' + key, show);
    show();
  },
};
