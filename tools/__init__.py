"""What maintains the repository: run ``python -m tools --help``.

Each module may import only those before it in this list: ``notebook``, ``repository``,
``assignments``, ``export``, ``lint``, ``browser``, ``book_extension``, ``studies``,
``__main__``.
"""
