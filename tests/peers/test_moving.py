"""Accounts of a real ejabberd and a real Prosody move to Federix with all they have, and back again (XEP-0227).

And from SQLite to a real database server."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .authority import Authority
from .conftest import Stage, StartServer
from .databases import empty_database
from .federix_server import FederixServer
from .household import Household
from .lone_ejabberd import LoneEjabberd
from .lone_prosody import LoneProsody
from .server import HOST, Server

StageFor = Callable[[Server], Stage]
StartEjabberd = Callable[..., LoneEjabberd]
StartProsody = Callable[[str], LoneProsody]
MODULES: dict[str, dict[str, object]] = {"mod_blocking": {}, "mod_offline": {}, "mod_private": {}}


@pytest.fixture
def federix(start_server: StartServer) -> FederixServer:
    server = start_server(MODULES)
    assert isinstance(server, FederixServer)
    return server


@pytest.fixture
def start_ejabberd(tmp_path: Path, authority: Authority) -> Iterator[StartEjabberd]:
    with contextlib.ExitStack() as servers:

        def start(password_format: str, name: str = "ejabberd") -> LoneEjabberd:
            folder = tmp_path / name
            folder.mkdir()
            server = LoneEjabberd(folder, authority, password_format=password_format)
            servers.callback(server.stop)
            server.start()
            return server

        yield start


@pytest.fixture
def start_prosody(tmp_path: Path, authority: Authority) -> Iterator[StartProsody]:
    with contextlib.ExitStack() as servers:

        def start(authentication: str) -> LoneProsody:
            folder = tmp_path / "prosody"
            folder.mkdir()
            server = LoneProsody(folder, authority, authentication=authentication)
            servers.callback(server.stop)
            server.start()
            return server

        yield start


def exported(ejabberd: LoneEjabberd, folder: Path, command: str, **arguments: str) -> Path:
    """The file that includes those of the hosts."""
    folder.mkdir()
    ejabberd.command(command, dir=str(folder), **arguments)
    (file,) = (each for each in folder.iterdir() if HOST not in each.name)
    return file


@pytest.mark.parametrize("password_format", ["plain", "scram"])
def test_what_ejabberd_exports_is_at_federix_as_it_was(
    password_format: str, federix: FederixServer, start_ejabberd: StartEjabberd, stage_for: StageFor, tmp_path: Path
) -> None:
    ejabberd = start_ejabberd(password_format)
    before = stage_for(ejabberd)
    household = Household(before)
    picture = household.populate(before, has_cards=True)
    folder = tmp_path / "moving"
    file = (
        exported(ejabberd, folder, "export_piefxis")
        if password_format == "plain"
        else exported(ejabberd, folder, "export_piefxis_host", host=HOST)
    )
    told = federix.command("import_piefxis", str(file)).splitlines()
    assert told[:-2] == [
        "accounts: 4 added",
        "block lists: 1 added",
        "contacts: 5 added",
        "offline messages: 3 added",
        "private fragments: 1 added",
        "subscription requests: 2 added",
    ]
    assert told[-2].startswith("not taken: ") and "<vCard xmlns='vcard-temp'> is nothing" in told[-2]
    # ejabberd exports no archives.
    household.meet(stage_for(federix), picture, waits=True, has_archive=False)


@pytest.mark.parametrize("password_format", ["plain", "scram"])
def test_what_federix_exports_for_ejabberd_is_there_as_it_was(
    password_format: str, federix: FederixServer, start_ejabberd: StartEjabberd, stage_for: StageFor, tmp_path: Path
) -> None:
    if password_format == "plain":
        federix.stop()
        federix.configure({"auth_stored_password_types": ["plain", "scram_sha1", "scram_sha256"]})
        federix.start()
    before = stage_for(federix)
    household = Household(before)
    picture = household.populate(before, has_cards=False)
    federix.command("export_piefxis", str(tmp_path / "moving"), "ejabberd")
    ejabberd = start_ejabberd(password_format)
    ejabberd.command("import_piefxis", file=str(tmp_path / "moving" / "server-data.xml"))
    # What is asked it does not read, nor archives.
    household.meet(stage_for(ejabberd), picture.without_asking(), waits=True, has_archive=False)


@pytest.mark.parametrize("authentication", ["internal_plain", "internal_hashed"])
def test_what_prosody_writes_is_at_federix_as_it_was(
    authentication: str, federix: FederixServer, start_prosody: StartProsody, stage_for: StageFor, tmp_path: Path
) -> None:
    prosody = start_prosody(authentication)
    before = stage_for(prosody)
    household = Household(before)
    picture = household.populate(before, has_cards=True)
    prosody.stop()
    folder = tmp_path / "moving"
    folder.mkdir()
    prosody.write(folder)
    told = federix.command("import_piefxis", str(folder)).splitlines()
    assert told[:5] == [
        "accounts: 4 added",
        "archived messages: 10 added",
        "contacts: 5 added",
        "private fragments: 1 added",
        "subscription requests: 2 added",
    ]
    for line, name in zip(told[5:], ("vCard", "pubsub", "pubsub", "import_piefxis: 100 %"), strict=True):
        assert name in line, told
    household.meet(stage_for(federix), picture.without_blocks(), waits=False, has_archive=True)


def test_what_federix_exports_for_prosody_is_there_as_it_was(
    federix: FederixServer, start_prosody: StartProsody, stage_for: StageFor, tmp_path: Path
) -> None:
    before = stage_for(federix)
    household = Household(before)
    picture = household.populate(before, has_cards=False)
    folder = tmp_path / "moving"
    federix.command("export_piefxis_host", str(folder), HOST, "prosody")
    prosody = start_prosody("internal_hashed")
    prosody.stop()
    prosody.read(folder)
    prosody.start()
    household.meet(stage_for(prosody), picture.without_blocks(), waits=False, has_archive=True)


# -- databases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql_type", ["mysql", "pgsql"])
def test_what_was_in_sqlite_is_in_the_database_of_a_server(
    sql_type: str, federix: FederixServer, stage_for: StageFor, tmp_path: Path
) -> None:
    _, settings = empty_database(sql_type)
    before = stage_for(federix)
    household = Household(before)
    picture = household.populate(before, has_cards=False)
    federix.stop()
    federix.configure(settings)
    told = federix.command("convert_to_sql", "--from", str(tmp_path / "federix.db"))
    assert "account: 4 rows" in told, told
    federix.start()
    household.meet(stage_for(federix), picture, waits=True, has_archive=True)
