"""The shared module of the course *Unrolled*: what the chapters build, import and measure with.

Each submodule may import only those before it in this list: ``errors``, ``files``, ``progress``,
``device``, ``text``, ``tasks``, ``dates``, ``ngrams``, ``cells``, ``layers``, ``padding``,
``gradients``, ``probes``, ``models``, ``runs``, ``training``, ``decoding``, ``recipes``,
``checks``, ``plots``, ``explorers``, ``live``, ``sweep``.
"""
