"""A stand-in for kubectl and its cluster: Jobs are folders, and pods processes on this machine.

What it takes and answers has the form of the real one, as far as growgan asks. The image of a pod
is the program that stands for `growgan` in it. Names of workers stand for the addresses in
`addresses.json`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

INDEX = "batch.kubernetes.io/job-completion-index"
SOON = 0.02
"""Seconds."""


def write(file: Path, value: Any) -> None:
    new = file.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(value))
    new.rename(file)


def answer(cluster: Path, words: list[str]) -> str:
    """What is written for a command."""
    with (cluster / "calls").open("a") as calls:
        print(*words, file=calls)
    match words:
        case ["create", "--filename=-", "--output=json"]:
            return create(cluster, json.load(sys.stdin))
        case ["apply", "--filename=-"]:
            service = json.load(sys.stdin)
            name = service["metadata"]["name"]
            job = json.loads((cluster / name / "job.json").read_text())
            [owner] = service["metadata"]["ownerReferences"]
            assert owner["uid"] == job["metadata"]["uid"]
            write(cluster / name / "service.json", service)
            return f"service/{name} created\n"
        case ["get", "jobs,pods", selector, "--output=json"]:
            folder = cluster / selector.rpartition("=")[2]
            items = []
            for file in (folder / "job.json", *folder.glob("pod-*.json")):
                with suppress(FileNotFoundError):
                    items.append(json.loads(file.read_text()))
            return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        case ["logs", pod, "--container=growgan", *options]:
            return logs(cluster, pod, dict(each.partition("=")[::2] for each in options))
        case ["delete", "job", name, "--ignore-not-found", *options]:
            assert {"--cascade=foreground", "--wait=true"} < {*options}
            remove(cluster, name)
            return f'job.batch "{name}" deleted\n'
    sys.exit(f"error: unknown command {words}")


def create(cluster: Path, job: dict[str, Any]) -> str:
    folder = cluster / job["metadata"]["name"]
    if folder.exists():
        sys.exit(f'Error from server (AlreadyExists): jobs.batch "{folder.name}" already exists')
    job["metadata"]["uid"] = f"uid-{time.time_ns()}"
    folder.mkdir()
    write(folder / "job.json", job)
    subprocess.Popen(
        [sys.executable, __file__, str(cluster), "run", folder.name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return json.dumps(job)


def remove(cluster: Path, name: str) -> None:
    folder = cluster / name
    if folder.exists():
        (folder / "doomed").touch()
    while folder.exists():
        time.sleep(SOON)


def logs(cluster: Path, pod: str, options: dict[str, str]) -> str:
    name, _, index = pod.rpartition("-")[0].rpartition("-")
    text = (cluster / name / f"{index}.log").read_bytes().decode(errors="surrogateescape")
    lines = text.split("\n")[:-1]
    if "--since-time" in options:
        second = options["--since-time"][:19]
        lines = [line for line in lines if line[:19] >= second]
    if "--tail" in options:
        lines = lines[-int(options["--tail"]) :]
    if "--timestamps" not in options:
        lines = [line.partition(" ")[2] for line in lines]
    return "".join(f"{line}\n" for line in lines)


class Running:
    """A Job whose pods are processes.

    Args:
        folder: Of the Job.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job = json.loads((folder / "job.json").read_text())
        self.name = folder.name
        self.pod = self.job["spec"]["template"]["spec"]
        self.count = self.job["spec"]["completions"]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.logs: list[threading.Thread] = []
        self.ended: dict[int, dict[str, Any]] = {}

    def to_the_end(self) -> None:
        # Names of pods are looked up until there are some.
        while "subdomain" in self.pod and not self.doomed:
            if (self.folder / "service.json").exists():
                break
            time.sleep(SOON)
        if not self.doomed:
            self.start()
        told_to_stop = False
        while len(self.ended) < len(self.processes):
            failed = any(each["exitCode"] for each in self.ended.values())
            if (self.doomed or failed) and not told_to_stop:
                told_to_stop = True
                for process in self.processes:
                    process.terminate()
            for index, process in enumerate(self.processes):
                if index not in self.ended and process.poll() is not None:
                    self.end(index, process.returncode)
            time.sleep(SOON)
        if not self.doomed:
            failed = any(each["exitCode"] for each in self.ended.values())
            condition = {"type": "Failed" if failed else "Complete", "status": "True"}
            if failed:
                condition |= {"reason": "BackoffLimitExceeded", "message": "It has failed."}
            self.job["status"] = {"conditions": [condition]}
            write(self.folder / "job.json", self.job)
        while not self.doomed:
            time.sleep(SOON)
        gone = self.folder.with_name(f".{self.name}")
        self.folder.rename(gone)  # at once, for those who look
        shutil.rmtree(gone)

    @property
    def doomed(self) -> bool:
        return (self.folder / "doomed").exists()

    def start(self) -> None:
        [container] = self.pod["containers"]
        addresses = json.loads((self.folder.parent / "addresses.json").read_text())
        for index in range(self.count):
            environment = {**os.environ}
            for each in container["env"]:
                # Of the fields of a pod only its number is asked for.
                value = each.get("value", str(index))
                value = value.replace("$(INDEX)", environment.get("INDEX", ""))
                for other, address in enumerate(addresses):
                    host = f"{self.name}-{other}.{self.pod.get('subdomain')}:2222"
                    value = value.replace(host, address)
                environment[each["name"]] = value
            process = subprocess.Popen(
                [container["image"], *container["command"][1:], *container.get("args", [])],
                cwd=container["workingDir"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            self.processes.append(process)
            (self.folder / f"{index}.log").touch()
            self.logs.append(threading.Thread(target=self.keep, args=(index, process)))
            self.logs[-1].start()
            self.tell(index, {"phase": "Running"}, {"running": {}})

    def keep(self, index: int, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with (self.folder / f"{index}.log").open("ab", buffering=0) as log:
            for line in process.stdout:
                stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z ")
                log.write(stamp.encode() + line)

    def end(self, index: int, status: int) -> None:
        # With its first process a container ends.
        with suppress(ProcessLookupError):
            os.killpg(self.processes[index].pid, signal.SIGKILL)
        self.logs[index].join()
        code = status if status >= 0 else 128 - status
        reason = "Completed" if not code else "OOMKilled" if code == 137 else "Error"
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.ended[index] = {"exitCode": code, "reason": reason, "finishedAt": at}
        phase = "Failed" if code else "Succeeded"
        self.tell(index, {"phase": phase}, {"terminated": self.ended[index]})

    def tell(self, index: int, status: dict[str, Any], state: Any = None) -> None:
        states = [] if state is None else [{"name": "growgan", "state": state}]
        pod = {
            "kind": "Pod",
            "metadata": {"name": f"{self.name}-{index}-x7k2p", "annotations": {INDEX: str(index)}},
            "status": {**status, "containerStatuses": states},
        }
        write(self.folder / f"pod-{index}.json", pod)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    if sys.argv[2] == "run":
        Running(folder / sys.argv[3]).to_the_end()
    else:
        sys.stdout.reconfigure(errors="surrogateescape", newline="")
        sys.stdout.write(answer(folder, sys.argv[2:]))
