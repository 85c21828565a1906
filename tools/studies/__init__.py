"""The studies that chapters and assignments quote: each trains what its table has.

All are carried out by :class:`utils.sweep.Study`: killed at any moment, they go on
where they were. Each module may import only those before it in this list: ``common``,
``texts``, ``depth``, ``dates``, ``ablation``, ``grid``.
"""
