"""A store that does not accept our credentials for a while: what is read then has not failed for good."""

import pytest
from obstore.exceptions import PermissionDeniedError

from generation_service.errors import Refused
from generation_service.programs import ProgramFile
from tests.programs.conftest import SCRIPT, Shelf


async def test_a_file_that_the_store_refuses_is_read_once_it_accepts_us(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_: object, **__: object) -> None:
        raise PermissionDeniedError("no")

    accepted = await shelf.upload(("a.txt", SCRIPT))
    with monkeypatch.context() as patched:
        patched.setattr(type(shelf.objects._store), "get_async", refuses)
        await shelf.run(accepted.jobs)
    refused = await only(shelf, accepted.program.id)
    await shelf.keep_up()
    shelf.age(11)
    await shelf.run(await shelf.keep_up())

    assert (refused.status, refused.code, refused.error_class) == ("failed", "storage_refused", "transient")
    assert (await only(shelf, accepted.program.id)).status == "completed"


async def test_an_upload_that_the_store_refuses_may_be_tried_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_: object, **__: object) -> None:
        raise PermissionDeniedError("no")

    monkeypatch.setattr(type(shelf.objects._store), "put_async", refuses)
    with pytest.raises(Refused) as caught:
        await shelf.upload(("a.txt", SCRIPT))

    assert (caught.value.code, caught.value.status) == ("storage_unavailable", 503)


async def only(shelf: Shelf, program_id: str) -> ProgramFile:
    (file,) = await shelf.files(program_id)
    return file
