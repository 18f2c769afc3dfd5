"""A whole store carried into another.

===========  ==================================================================================
`places`     the two stores: named, opened, closed
`sums`       what there is of a kind, as a count and a digest that know no order
`run`        the copy: what is there already, what is missing, whether the two are equal, the keys
===========  ==================================================================================
"""

from __future__ import annotations

from tokenward.commands.copying.run import Compared, Progress, copy

__all__ = ["Compared", "Progress", "copy"]
