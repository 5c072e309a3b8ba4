"""What no shipped file may call, found in its syntax tree."""

import ast

#: Modules that run what a file holds when they read it, and modules that talk to a network.
MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib", "jsonpickle"}
NETWORK = {"socket", "http", "urllib", "ftplib", "smtplib", "requests", "httpx", "aiohttp", "urllib3"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {"os.system", "os.popen", "tempfile.mktemp", "torch.jit.load", "torch.package.PackageImporter"}
METHODS = {"load_pickle", "read_pickle", "to_pickle"}
SAFE_YAML = {"yaml.safe_load", "yaml.safe_load_all"}


def forbidden(source):
    """Line and reason of each forbidden import or call in a Python source, in order."""
    tree = ast.parse(source)
    names = _imported(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and (reason := _of_import(node)):
            found.append((node.lineno, reason))
        if isinstance(node, ast.Call) and (reason := _of_call(node, names)):
            found.append((node.lineno, reason))
    return sorted(found)


def _imported(tree):
    """Local name -> dotted name that it stands for, wherever in the file it is imported."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0]
                for a in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return names


def _of_import(node):
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    firsts = {module.split(".")[0] for module in modules}
    return f"imports {', '.join(sorted(firsts))}" if firsts & (MODULES | NETWORK) else ""


def _of_call(node, names):
    name = _dotted(node.func, names)
    last = name.rpartition(".")[2]
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in CALLS or name.startswith("torch.hub.") or (name in BUILTINS and name not in names):
        return f"calls {name}"
    if last in METHODS:
        return f"calls {last}"
    if name == "torch.load" and not _is(given.get("weights_only"), True):
        return "torch.load without weights_only=True"
    if name == "numpy.load" and not _is(given.get("allow_pickle", ast.Constant(False)), False):
        return "numpy.load with allow_pickle"
    if name.startswith("yaml.") and "load" in name and name not in SAFE_YAML:
        return f"calls {name}"
    if not _is(given.get("shell", ast.Constant(False)), False):
        return "a shell"
    if last in ("extractall", "unpack_archive") and not _is(given.get("filter"), "data"):
        return f"{last} without filter='data'"
    if last == "from_pretrained" and not _is(given.get("local_files_only"), True):
        return "from_pretrained without local_files_only=True"
    return ""


def _dotted(node, names):
    """`np.load` -> `numpy.load`; what is called on a value keeps its last name, such as `.extractall`."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, names) if isinstance(node.value, ast.Name | ast.Attribute) else ""
        return f"{base}.{node.attr}"
    return ""


def _is(node, value):
    return isinstance(node, ast.Constant) and type(node.value) is type(value) and node.value == value
