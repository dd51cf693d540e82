// vdsm/lib/widgets.py puts this file before the script of each widget.

// A new element of the page, inside another one.
function make(tag, parent, properties = {}) {
  return parent.appendChild(Object.assign(document.createElement(tag), properties));
}

// Send a value to Python.
function send(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}
