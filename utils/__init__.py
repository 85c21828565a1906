"""What the chapters of *Unrolled* build, import and measure with.

Each module may import only those before it in this list: ``arguments``, ``files``,
``progress``, ``device``, ``palette``, ``corpora``, ``text``, ``tasks``, ``ngrams``,
``contract``, ``conversion``, ``initialization``, ``cells``, ``padding``, ``dates``,
``layers``, ``models``, ``inside``, ``history``, ``checkpoints``, ``training``,
``decoding``, ``recipes``, ``checks``, ``plots``, ``explorers``, ``live``, ``sweep``.
"""
