"""What the answers of a model's provider mean, whichever program was given them."""

from __future__ import annotations

from fleetbot.domain.reasons import ReasonCode

BY_STATUS = {
    400: ReasonCode.AGENT_FAILED,
    401: ReasonCode.AUTH_FAILED,
    402: ReasonCode.BILLING,
    403: ReasonCode.AUTH_FAILED,
    404: ReasonCode.MODEL_NOT_FOUND,
    413: ReasonCode.CONTEXT_TOO_LONG,
    429: ReasonCode.RATE_LIMITED,
}
