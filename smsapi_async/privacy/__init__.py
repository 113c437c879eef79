"""Keeps secrets and personal data out of every text that this package produces."""

from smsapi_async.privacy.frames import HTTP_PACKAGES, clear_frames, sealed, sealed_async
from smsapi_async.privacy.masks import (
    Hidden,
    HiddenBytes,
    HiddenText,
    Secret,
    is_encodable,
    mask_id,
    mask_ids,
    mask_key,
    mask_misplaced,
    mask_number,
    mask_source_address,
    mask_text,
    mask_word,
    mask_words,
    type_name,
)
from smsapi_async.privacy.reprs import steady_repr
from smsapi_async.privacy.scrubbing import masked, scrub, visible

__all__ = [
    "HTTP_PACKAGES",
    "Hidden",
    "HiddenBytes",
    "HiddenText",
    "Secret",
    "clear_frames",
    "is_encodable",
    "mask_id",
    "mask_ids",
    "mask_key",
    "mask_misplaced",
    "mask_number",
    "mask_source_address",
    "mask_text",
    "mask_word",
    "mask_words",
    "masked",
    "scrub",
    "sealed",
    "sealed_async",
    "steady_repr",
    "type_name",
    "visible",
]
