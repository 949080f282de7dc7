"""The way to the forge: certificates of its own, proxies; the same for git and for the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeUnavailable
from fleetbot.network import open_session, proxy_of
from fleetbot.runner.network import child_env
from tests.certificate import tls, write_certificate
from tests.runner.front import Front, Tunnels
from tests.runner.scene import WRITES_A_FILE, Scene
from tests.runner.test_health import bad, findings


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path / "forge.pem")


@pytest.fixture
async def private_forge(scene: Scene, certificate: Path) -> AsyncIterator[Front]:
    """The scene's forge, behind TLS with that certificate."""
    async with Front.of(scene.forge.url, tls(certificate)) as front:
        scene.to_forge = front.url
        yield front


@pytest.fixture
async def proxy_of_tls(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tunnels]:
    """All that is encrypted goes by it."""
    async with Tunnels.of("http://127.0.0.1") as proxy:
        for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("https_proxy", proxy.url)
        yield proxy


async def test_a_forge_with_a_certificate_of_its_own_behind_a_proxy_is_reached_by_git_and_api_alike(
    scene: Scene, certificate: Path, private_forge: Front, proxy_of_tls: Tunnels
) -> None:
    order = await scene.order()

    await scene.carry_out(WRITES_A_FILE, order, forge=f'ca_file = "{certificate}"')

    assert scene.orchestrator.failures == {}
    assert scene.orchestrator.receipts[0].files == ("hello.txt",)
    assert set(proxy_of_tls.asked) == {f"127.0.0.1:{private_forge.port}"}
    assert len(proxy_of_tls.asked) > 2, "git's calls, too"


async def test_the_plugin_reaches_such_a_forge_by_its_setting(
    scene: Scene, certificate: Path, private_forge: Front, proxy_of_tls: Tunnels
) -> None:
    async with ForgeClient(scene.to_forge, scene.fleet, ca_file=str(certificate)) as forge:
        assert (await forge.version()).version
    assert proxy_of_tls.asked == [f"127.0.0.1:{private_forge.port}"]

    async with ForgeClient(scene.to_forge, "t", delays=()) as forge:
        with pytest.raises(ForgeUnavailable, match=r"not trusted .*: forge\.ca_file names"):
            await forge.version()

    await proxy_of_tls.cut()
    async with ForgeClient(scene.to_forge, "t", ca_file=str(certificate), delays=()) as forge:
        with pytest.raises(ForgeUnavailable, match="proxy of the environment cannot be reached"):
            await forge.version()


@pytest.mark.usefixtures("proxy_of_tls")
async def test_the_orchestrator_is_reached_by_its_own_setting(
    scene: Scene, certificate: Path
) -> None:
    async with Front.of(scene.orchestrator.url, tls(certificate)) as front:
        scene.to_orchestrator = front.url
        config = scene.config_file("true")
        problems = bad(await findings(config))
        assert "orchestrator.ca_file names those that are" in problems["runner orchestrator"]
        url = f'url = "{front.url}"'
        config.write_text(config.read_text().replace(url, f'{url}\nca_file = "{certificate}"'))
        assert "runner orchestrator" not in bad(await findings(config))


@pytest.mark.usefixtures("private_forge")
async def test_without_it_the_check_says_what_is_wrong(scene: Scene) -> None:
    problems = bad(await findings(scene.config_file("true")))

    assert set(problems) == {"runner forge"}
    assert "forge.ca_file names those that are" in problems["runner forge"]


def test_a_proxy_is_found_in_either_case_of_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_of("http://forge.example.org") is None

    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,.internal")

    assert proxy_of("http://forge.example.org/x") == "http://proxy.example.org:3128"
    assert proxy_of("http://forge.internal") is None
    assert proxy_of("http://127.0.0.1:3000") is None
    assert child_env()["http_proxy"] == "http://proxy.example.org:3128"


async def test_calls_go_by_the_proxy_and_no_login_of_netrc_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[tuple[str, str]] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        seen.append((str(request.url), request.headers["Authorization"]))
        return web.Response()

    async with proxy(answer) as url:
        (tmp_path / "netrc").write_text("machine forge.example.org login ada password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with (
            open_session("", "http://forge.example.org") as http,
            http.get("http://forge.example.org/x", headers={"Authorization": "token t"}),
        ):
            pass

    assert seen == [("http://forge.example.org/x", "token t")]


class proxy:
    """A server that is asked for whole addresses."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.Response]]) -> None:
        self._runner = web.ServerRunner(web.Server(handler))

    async def __aenter__(self) -> str:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *problem: object) -> None:
        await self._runner.cleanup()
