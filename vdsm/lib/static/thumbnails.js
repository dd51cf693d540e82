// Clips as thumbnails, to choose one (radio buttons) or several (check boxes). All of them are one
// picture, a row for each clip and a column for each frame, which the style sheet moves behind the
// thumbnail.

export default {
  render({ model, el }) {
    el.classList.add('vdsm', 'vdsm-thumbnails', model.get('moving') ? 'moving' : 'still');
    const head = make('div', el, { className: 'head' });
    const title = make('b', head, { innerHTML: model.get('title') });
    if (model.get('action')) {
      make('button', head, {
        type: 'button', textContent: model.get('action'), onclick: () => model.send({ act: true }),
      });
    }
    const set = make('fieldset', el, { ariaLabel: title.textContent });
    const sheet = URL.createObjectURL(new Blob([model.get('sheet')]));
    const type = model.get('several') ? 'checkbox' : 'radio', group = Math.random().toString(36);

    const inputs = model.get('names').map((name, i) => {
      const label = make('label', set, { title: model.get('about')[i] });
      const input = make('input', label, { type, name: group });
      input.ariaLabel = `${name}, clip ${i + 1}`;
      const clip = make('span', label, { className: 'clip' }), n = model.get('n_frames');
      clip.style.cssText = `--n: ${n}; --row: ${i}; background-image: url(${sheet})`;
      make('span', label, { className: 'name', textContent: name });
      const picked = () => inputs.flatMap((x, k) => (x.checked ? [k] : []));
      input.onchange = () => send(model, { picked: picked() });
      return input;
    });

    function show() {
      inputs.forEach((x, i) => { x.checked = model.get('picked').includes(i); });
    }
    model.on('change:picked', show);
    show();
    return () => URL.revokeObjectURL(sheet);
  },
};
