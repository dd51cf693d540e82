"""Small changes of Python source, each of which a test should notice: the operators of
`make mutants`."""
import ast, hashlib, re
from dataclasses import dataclass

COMPARISONS = {  # operator -> the one that takes its place
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is")}
ARITHMETIC = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "*"), ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"), ast.BitXor: ("^", "|")}
LOGIC = {ast.And: ("and", "or"), ast.Or: ("or", "and")}
FIRST_ARGUMENT = {"abs", "max", "min", "round", "sorted"}   # calls that become their first argument
ORDERED = {  # calls whose arguments stay in order: any other order is an error, or the same
    "isinstance", "getattr", "setattr", "hasattr", "min", "max", "range", "slice", "view",
    "reshape", "expand", "flatten", "transpose", "permute", "new_zeros", "gather", "to",
    "randint", "zeros", "setdefault", "get", "partial", "maximum", "minimum", "register_buffer"}
DROPPED = {  # methods whose call becomes the object itself, which is of the same type
    "abs", "ceil", "clamp", "clip", "clone", "cos", "cumsum", "detach", "double", "eval", "exp",
    "flip", "float", "floor", "log", "log10", "masked_fill", "mT", "neg", "norm", "pow", "relu",
    "removeprefix", "repeat_interleave", "roll", "round", "sample", "sigmoid", "sin", "softmax",
    "softplus", "sort", "sqrt", "square", "tanh", "train", "transpose", "unique", "mean", "sum",
    "max", "min", "amax", "amin", "replace", "expand", "expand_as", "rollout", "recompute",
    "extrapolate", "to_event"}
TALK = {"print", "progress"}                                # calls that only say something
DRAWS = re.compile(r"show|plot|picture|figure|draw_(?!mixture|like|pairs)")  # names of functions


@dataclass(frozen=True)
class Mutant:
    "One change of one place."
    module: str   # 'model.encoder'
    cell: str     # id of the notebook's cell
    where: str    # function or class, '' at the top of the cell
    kind: str     # 'comparison', 'constant', ...
    line: int     # of the cell, from 1
    before: str
    after: str
    statement: str  # the statement that holds it
    nth: int      # of the changes that read the same
    code: str     # the cell with the change

    @property
    def id(self) -> str:
        "Stays the same while its statement does."
        parts = (self.module, self.where, self.kind, self.statement, self.before, self.after)
        return hashlib.sha256("\0".join([*parts, str(self.nth)]).encode()).hexdigest()[:12]


class Changes(ast.NodeVisitor):
    "All changes of the source of a cell: (where, kind, statement, start, end, new text)."
    def __init__(self, source: str):
        self.source, self.found = source, []
        self.where, self.statement, self.imported = [], "", set()
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.lines = source.splitlines()
        self.visit(ast.parse(source))

    # places and texts
    def at(self, line, column) -> int:
        text = self.lines[line - 1].encode()[:column].decode()
        return self.starts[line - 1] + len(text)
    def start(self, node) -> int: return self.at(node.lineno, node.col_offset)
    def end(self, node) -> int: return self.at(node.end_lineno, node.end_col_offset)
    def text(self, node) -> str: return self.source[self.start(node):self.end(node)]
    def add(self, kind, node, new):
        change = ".".join(self.where), kind, self.statement, self.start(node), self.end(node), new
        self.found.append(change)
    def between(self, node, left, right, old, new) -> str:
        "The text of a node with another operator between two of its parts."
        a, b, c, d = self.start(node), self.end(left), self.start(right), self.end(node)
        gap = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new.replace("\\", r"\\"), self.source[b:c],
                     count=1)
        return f"({self.source[a:b]}{gap}{self.source[c:d]})"

    # what is left out
    def visit_Import(self, node): self.imported |= {a.asname or a.name for a in node.names}
    def visit_ImportFrom(self, node): self.visit_Import(node)
    def visit_JoinedStr(self, node): pass
    def visit_arg(self, node): pass
    def visit_Assert(self, node): pass

    def visit_Raise(self, node): self.add("statement", node, "pass")

    def generic_visit(self, node):
        if isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            self.statement = self.text(node).split("\n")[0] if hasattr(node, "body") \
                else " ".join(self.text(node).split())
        super().generic_visit(node)

    # functions and classes: no names, no annotations, no decorators, no docstrings
    def body(self, node):
        self.where.append(node.name)
        skip = isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)
        for statement in node.body[skip:]: self.visit(statement)
        self.where.pop()
    def visit_FunctionDef(self, node):
        if DRAWS.match(node.name): return
        self.where.append(node.name)
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            self.statement = "default"
            if default is not None: self.visit(default)
        self.where.pop()
        self.body(node)
    def visit_ClassDef(self, node): self.body(node)
    def visit_AnnAssign(self, node):
        self.statement = " ".join(self.text(node).split())
        if node.value is not None: self.visit(node.value)
    def visit_Assign(self, node):
        self.statement = " ".join(self.text(node).split())
        names = [t.id for t in node.targets if isinstance(t, ast.Name)]
        if "__all__" in names: return
        if any(isinstance(t, ast.Attribute | ast.Subscript) for t in node.targets):
            self.add("statement", node, "pass")
        self.visit(node.value)
    def visit_AugAssign(self, node):
        self.statement = " ".join(self.text(node).split())
        self.add("statement", node, "pass")
        self.visit(node.value)
    def visit_Expr(self, node):
        self.statement = " ".join(self.text(node).split())
        if isinstance(node.value, ast.Constant): return
        if isinstance(node.value, ast.Call):
            if getattr(node.value.func, "id", "") in TALK: return
            self.add("statement", node, "pass")
            for part in [*node.value.args, *node.value.keywords]: self.visit(part)
        else: self.visit(node.value)
    def visit_Return(self, node):
        self.statement = " ".join(self.text(node).split())
        self.sign(node.value)
        if node.value is not None: self.visit(node.value)
    def visit_Lambda(self, node):
        for default in node.args.defaults: self.visit(default)
        self.sign(node.body)
        self.visit(node.body)
    def sign(self, node):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div | ast.MatMult):
            self.add("sign", node, f"(-({self.text(node)}))")

    # expressions
    def visit_Constant(self, node):
        v = node.value
        if isinstance(v, bool): self.add("constant", node, str(not v))
        elif isinstance(v, int): self.add("constant", node, str(v + 1))
        elif isinstance(v, float): self.add("constant", node, repr(2*v or 1.))
    def visit_Compare(self, node):
        parts = [node.left, *node.comparators]
        for left, op, right in zip(parts, node.ops, parts[1:]):
            self.add("comparison", node, self.between(node, left, right, *COMPARISONS[type(op)]))
        self.generic_visit(node)
    def visit_BinOp(self, node):
        texts = [isinstance(n, ast.JoinedStr) or isinstance(getattr(n, "value", None), str)
                 for n in (node.left, node.right)]
        if type(node.op) in ARITHMETIC and not any(texts):
            change = self.between(node, node.left, node.right, *ARITHMETIC[type(node.op)])
            self.add("arithmetic", node, change)
        self.generic_visit(node)
    def visit_BoolOp(self, node):
        left, right = node.values[:2]
        if len(node.values) == 2:
            self.add("logic", node, self.between(node, left, right, *LOGIC[type(node.op)]))
        self.generic_visit(node)
    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not): self.add("logic", node, f"({self.text(node.operand)})")
        elif isinstance(node.op, ast.USub): self.add("sign", node, self.text(node.operand))
        self.generic_visit(node)
    def visit_IfExp(self, node):
        yes, test, no = (self.text(n) for n in (node.body, node.test, node.orelse))
        self.add("branches", node, f"(({no}) if ({test}) else ({yes}))")
        self.generic_visit(node)
    def visit_Call(self, node):
        f, args = node.func, node.args
        plain = [a for a in args if not isinstance(a, ast.Starred)]
        name = f.id if isinstance(f, ast.Name) else ""
        method = getattr(f, "attr", name)
        alike = plain[:2] == args[:2] and not any(isinstance(a, ast.Constant) for a in args[:2])
        if len(plain) > 1 and alike and method not in ORDERED:
            a, b = map(self.text, args[:2])
            gap = self.source[self.end(args[0]):self.start(args[1])]
            new = self.source[self.start(node):self.start(args[0])] + b + gap + a
            rest = self.source[self.end(args[1]):self.end(node)]
            if a != b: self.add("arguments", node, new + rest)
        if name in FIRST_ARGUMENT and plain: self.add("call", node, f"({self.text(args[0])})")
        if isinstance(f, ast.Attribute) and f.attr in DROPPED and not self.is_module(f.value):
            self.add("call", node, f"({self.text(f.value)})")
        if name not in TALK: self.generic_visit(node)
    def is_module(self, node) -> bool:
        "Whether it is the name of a module or class, or the instance of a method."
        if isinstance(node, ast.Call): return getattr(node.func, "id", "") in ("super", "cls")
        while isinstance(node, ast.Attribute): node = node.value
        known = {"torch", "F", "nn", "np", "math", "dist", "pyro", "poutine", "self", "cls", "json",
                 "run", "fabric", "hashlib", "warnings", "pd", "object"}
        return isinstance(node, ast.Name) and (node.id in known or node.id[:1].isupper())


def mutants_of(module: str, cell: str, source: str) -> list[Mutant]:
    "All changes of an exported cell that leave it valid Python."
    seen, out = {}, []
    for where, kind, statement, start, end, new in Changes(source).found:
        old = source[start:end]
        code = source[:start] + new + source[end:]
        try: compile(code, cell, "exec")
        except SyntaxError: continue
        key = where, kind, statement, old, new
        seen[key] = seen.get(key, 0) + 1
        line = source.count("\n", 0, start) + 1
        out.append(Mutant(module, cell, where, kind, line, old, new, statement, seen[key], code))
    return out
