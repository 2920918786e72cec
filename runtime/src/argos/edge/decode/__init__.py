"""Turn what a caller sent into a :class:`~argos.edge.model.Document`, or say everything that is wrong with it.

One module for each subject, as in :mod:`argos.edge.model`; ``kinds`` is the table of what can be declared.
"""

from __future__ import annotations

from argos.edge.decode.document import decode_document, decode_json

__all__ = ["decode_document", "decode_json"]
