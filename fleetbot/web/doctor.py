"""What the doctor finds, for operators' programs."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.services.doctor import Doctor
from fleetbot.services.findings import Finding
from fleetbot.web.endpoint import Call, Endpoint, NoBody, NoQuery, Who


class DoctorCalls:
    def __init__(self, doctor: Doctor) -> None:
        self._doctor = doctor

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (
            Endpoint(
                "GET",
                Who.OPERATOR,
                f"/{wire.API}/doctor",
                self.examine,
                "Look at everything around the fleet; takes a few seconds at most.",
            ),
        )

    async def examine(self, call: Call[NoBody, NoQuery]) -> wire.DoctorAnswer:
        findings = await self._doctor.examine()
        return wire.DoctorAnswer(findings=tuple(map(_view, findings)))


def _view(finding: Finding) -> wire.FindingView:
    return wire.FindingView(
        name=finding.name, mark=finding.mark.value, says=finding.says, remedy=finding.remedy
    )
