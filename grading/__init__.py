"""Grading what students hand in: collect, repair, run sandboxed, score, report.

Each module may import only those before it in this list: ``limits``, ``reading``,
``unpack``, ``student``, ``names``, ``collect``, ``repair``, ``sandbox``, ``execute``,
``course``, ``report``, ``grade``, ``__main__``.

The folder ``kernel`` holds a program of its own: it runs in the sandbox, where there is
no more of the course than ``sandbox.SHARED`` names.
"""
