"A Sphinx extension: comments beside parameters (docments) become their descriptions on API pages."
import inspect


def add_parameters(app, what, name, obj, options, lines):
    "Add a line for each parameter that has a comment, and one for what is returned."
    from fastcore.docments import docments
    try: found = docments(obj)
    except (TypeError, OSError, SyntaxError, ValueError, AttributeError, IndexError): return
    if inspect.ismodule(obj): return
    clean = lambda text: " ".join(str(text).replace("*", r"\*").replace("|", r"\|").split())
    if any(found.values()): lines.append("")
    lines += [
        f":param {k}: {clean(v)}" for k, v in found.items() if v and k not in ("return", "self")
    ]
    if found.get("return"): lines.append(f":returns: {clean(found['return'])}")


def setup(app):
    "What Sphinx calls."
    app.connect("autodoc-process-docstring", add_parameters)
    return dict(parallel_read_safe=True)
