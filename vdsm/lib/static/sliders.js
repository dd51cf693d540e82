// A slider for each of some values. A double click sets one back.

export default {
  render({ model, el }) {
    el.classList.add('vdsm', 'vdsm-sliders');
    const head = make('div', el, { className: 'head' });
    make('b', head, { innerHTML: model.get('title') });
    for (const act of model.get('actions')) {
      const onclick = () => model.send({ act });
      make('button', head, { type: 'button', textContent: act, onclick });
    }
    const step = model.get('step');
    const sign = v => (v < 0 ? '\u2212' : '');
    const written = v => (step < 1 ? sign(v) + Math.abs(v).toFixed(2) : String(v));

    const rows = model.get('labels').map((text, i) => {
      const label = make('label', el, { className: 'row' });
      const name = make('span', label, { innerHTML: text });
      const [min, max] = [model.get('low'), model.get('high')];
      const input = make('input', label, { type: 'range', min, max, step });
      const out = make('output', label);
      input.oninput = () => {
        send(model, { values: model.get('values').map((v, k) => (k === i ? +input.value : v)) });
        show();
      };
      label.ondblclick = () => model.send({ act: 'reset', only: i });
      return { name, input, out };
    });

    function show() {
      rows.forEach(({ name, input, out }, i) => {
        const v = model.get('values')[i];
        if (name.innerHTML !== model.get('labels')[i]) name.innerHTML = model.get('labels')[i];
        input.ariaLabel = name.textContent;
        if (+input.value !== v) input.value = v;
        out.textContent = written(v);
      });
    }
    model.on('change:values', show);
    model.on('change:labels', show);
    show();
  },
};
