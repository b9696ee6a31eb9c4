"""The demonstration: the sample documents go in, one episode comes out, through a durable worker."""

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from generation_service.errors import ConfigurationError
from generation_service.samples import Sample
from generation_service.texts import text
from scripts.dev_stack.services import Services
from scripts.dev_stack.stack import Stack
from scripts.embedded.children import Program

_LONGEST_SECONDS = 300.0
_INTERRUPTED = 130  # 128 + SIGINT, as shells say it


@dataclass(frozen=True, slots=True)
class Demo:
    """One run of the demonstration on a stack that is up; `environment` is what its commands get."""

    stack: Stack
    services: Services
    environment: dict[str, str]
    sample: Sample

    def run(self) -> int:
        """Upload, generate, print; the exit code. Raises ConfigurationError where the mode is not durable."""
        try:
            self._check_mode()
            return self._upload() or self._generate()
        except httpx2.HTTPError as error:
            raise ConfigurationError(text("dev_stack.demo_no_answer", self.stack.language, why=error)) from error

    def _upload(self) -> int:
        """Upload the documents of the sample that the project does not have yet, under their own names."""
        there = self._names_there()
        missing = [document for document in self.sample.documents if document.name not in there]
        if not missing:
            self.stack.say("demo_uploaded", project=self.sample.project_id)
            return 0
        self.stack.say("demo_uploading", project=self.sample.project_id)
        folder = self._folder("documents")
        copies = [shutil.copyfile(document.path, folder / document.name) for document in missing]
        paths = [str(self.stack.shown(copy)) for copy in copies]
        return self._command("documents", "upload", *paths, "--project", self.sample.project_id, "--wait")

    def _generate(self) -> int:
        self.stack.say("demo_generating")
        request = self._folder() / "request.json"
        request.write_text(json.dumps(self.sample.request, ensure_ascii=False, indent=2), encoding="utf-8")
        script = self._folder() / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.md"
        return self._command("generate", "--input", str(request), "--output", str(self.stack.shown(script)))

    def _check_mode(self) -> None:
        if self._get("/health")["worker_system"]["type"] != "rq":
            raise ConfigurationError(text("dev_stack.demo_not_durable", self.stack.language))

    def _names_there(self) -> set[str]:
        there = self._get("/api/v1/documents", container_id=self.sample.project_id, limit=500)
        return {one["file_name"] for one in there["items"] if one["status"] != "failed"} if there else set()

    def _get(self, path: str, **query: str | int) -> Any:
        """What the API answers, as JSON, None for 404; it is on this machine, so no proxy is asked."""
        token = self.environment.get("API_TOKEN")
        answer = httpx2.get(
            f"{self.stack.settings.api_address}{path}",
            params=query,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            trust_env=False,
        )
        return None if answer.status_code == httpx2.codes.NOT_FOUND else answer.raise_for_status().json()

    def _folder(self, *within: str) -> Path:
        folder = self.stack.var.joinpath("demo", self.sample.project_id, *within)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _command(self, *arguments: str) -> int:
        """Run one command of the service on this terminal, keeping the stack up meanwhile."""
        command = self.stack.command(*arguments)
        program = Program(command=command, environment=self.environment, folder=self.stack.root)
        deadline = time.monotonic() + _LONGEST_SECONDS
        with subprocess.Popen(program.leashed(), env=self.environment, cwd=program.folder) as running:  # noqa: S603 - ours
            while True:
                try:
                    return running.wait(0.1)
                except subprocess.TimeoutExpired:
                    self.stack.keep(self.services)
                if self.stack.interrupts.asked:
                    running.terminate()
                    return _INTERRUPTED
                if time.monotonic() > deadline:
                    running.kill()
                    raise ConfigurationError(text("dev_stack.demo_too_long", self.stack.language))
