// Films side by side, with play, frame and speed. A film arrives as one PNG, frame beside frame, so
// that playing asks nothing of Python. For tests, `data-answers` counts what was drawn and
// `data-playing` says whether it plays.

// JupyterLab takes no shortcut from a part of the explorer that has the focus: in command mode an
// arrow key would go to the next cell.
function keepKeys(el) {
  const mine = event => { event.target.dataset.lmSuppressShortcuts = true; };
  new ResizeObserver((_, observer) => {          // the first one comes when `el` is in the page
    (el.closest('.vdsm-explorer') || el).addEventListener('focusin', mine);
    observer.disconnect();
  }).observe(el);
}

export default {
  render({ model, el }) {
    el.classList.add('vdsm', 'vdsm-player');
    const stage = make('div', el, { className: 'films' });
    const bar = make('div', el, { className: 'bar' });
    const play = make('button', bar, { type: 'button' });
    const at = make('input', bar, { type: 'range', min: 0, step: 1, ariaLabel: 'frame' });
    const where = make('output', bar);
    const speed = make('select', bar, { ariaLabel: 'speed' });
    for (const fps of [2, 4, 8, 12, 24]) {
      make('option', speed, { value: fps, textContent: fps + ' frames/s' });
    }

    const films = { sources: [], made: [], stills: [] };    // what is drawn
    const loaded = {};                                      // what the films were made from
    const canvases = [];
    let frame = 0, timer = null, answers = 0, loading = Promise.resolve();

    const all = () => films.sources.concat(films.made);
    const length = () => Math.max(1, ...all().map(film => film.n));

    function canvas(i) {
      if (!canvases[i]) {
        const figure = make('figure', stage);
        make('figcaption', figure);
        canvases[i] = make('canvas', figure, { role: 'img' });
      }
      return canvases[i];
    }

    function drawFilm(film, i) {
      const first = all().length - films.stills.length;     // the first film that has a still
      const still = timer === null && films.stills[i - first];
      const width = film.image.width / film.n, height = film.image.height, c = canvas(i);
      if (c.width !== width || c.height !== height) {
        Object.assign(c, { width, height });
        c.style.width = width * model.get('zoom') + 'px';
      }
      c.previousSibling.textContent = c.ariaLabel = model.get('labels')[i];
      const [image, x] = still ? [still.image, 0] : [film.image, (frame % film.n) * width];
      const context = c.getContext('2d');
      context.clearRect(0, 0, width, height);               // a table is transparent in places
      context.drawImage(image, x, 0, width, height, 0, 0, width, height);
    }

    function draw() {
      all().forEach(drawFilm);
      at.max = length() - 1;
      at.value = frame;
      where.textContent = `frame ${frame + 1} of ${length()}`;
    }

    async function load(key) {
      const strips = model.get(key), counts = model.get('counts');
      if (strips === loaded[key]) return;
      loaded[key] = strips;
      const images = await Promise.all(strips.map(png => createImageBitmap(new Blob([png]))));
      if (key === 'stills' && !images.length) return;       // the films take their place
      for (const film of films[key]) film.image.close();
      const first = key === 'made' ? model.get('sources').length : 0;
      const n = i => (key === 'stills' ? 1 : counts[first + i]);
      films[key] = images.map((image, i) => ({ image, n: n(i) }));
      if (key === 'made') films.stills = [];
      frame = Math.min(frame, length() - 1);
      draw();
      el.dataset.answers = ++answers;
    }

    function go(to) {
      frame = (to + length()) % length();
      draw();
    }

    function run(on) {
      clearInterval(timer);
      timer = on ? setInterval(() => go(frame + 1), 1000 / model.get('fps')) : null;
      play.textContent = on ? 'Pause' : 'Play';
      el.dataset.playing = on;
      draw();
    }

    play.onclick = () => { run(timer === null); send(model, { frame }); };
    at.oninput = () => { frame = +at.value; run(false); send(model, { frame }); };
    speed.value = model.get('fps');
    speed.onchange = () => { send(model, { fps: +speed.value }); run(timer !== null); };
    for (const key of Object.keys(films)) {                 // in the order in which they arrive
      const next = () => { loading = loading.then(() => load(key)); };
      model.on('change:' + key, next);
      next();
    }
    run(!matchMedia('(prefers-reduced-motion: reduce)').matches);
    keepKeys(el);
    return () => clearInterval(timer);
  },
};
