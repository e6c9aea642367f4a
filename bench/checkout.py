"""A checkout of the reference, made importable."""
import sys
import types


class EasyDict(dict):
    """All that the reference takes from the package easydict."""
    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


def use(path):
    try:
        import easydict
    except ImportError:
        sys.modules["easydict"] = types.SimpleNamespace(EasyDict=EasyDict)
    sys.path.insert(0, path)
