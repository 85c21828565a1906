"""The shared module of the course *Unrolled*: what the chapters build, import and measure with.

Each submodule may import only those before it in this list: ``files``, ``progress``, ``device``, ``text``, ``tasks``,
``cells``, ``models``, ``runs``, ``training``, ``decoding``, ``checks``, ``plots``, ``explorers``, ``live``.
"""
