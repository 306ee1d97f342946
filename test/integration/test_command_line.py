"""The `monopod` command against a running daemon."""
import json

import pytest

from harness.pods import log_lines, pod, start


def test_help_for_every_command(daemon):
    commands = ["serve", "ps", "pods", "images", "pull", "import", "prune", "logs", "exec", "run", "rm", "inspect", "events", "check", "version", "config"]
    overview = daemon.cli("help").stdout
    for command in commands:
        assert command in overview
        assert "usage" in daemon.cli(command, "--help").stdout.lower(), command


def test_config_default_reads_back(daemon, tmp_path):
    printed = daemon.cli("config", "default").stdout
    for option in ("socket", "pod_cidr", "cgroup_parent", "certs_dir"):
        assert option in printed
    (tmp_path / "config").write_text(printed)
    assert daemon.cli("--config", str(tmp_path / "config"), "config", "default").returncode == 0


def test_tables_and_json(daemon, image, logs):
    client = daemon.client()
    with pod(client, "cli-pod", logs) as (pod_id, config):
        container_id = start(client, pod_id, config, image, ["sh", "-c", "echo to the log; sleep 1000"])
        log_lines(logs / "main.log", 1)
        assert pod_id[:12] in daemon.cli("pods").stdout and container_id[:12] in daemon.cli("ps").stdout
        assert "busybox-test" in daemon.cli("images").stdout
        assert json.loads(daemon.cli("-o", "json", "ps").stdout)
        assert "to the log" in daemon.cli("logs", container_id[:12]).stdout
        done = daemon.cli("exec", container_id[:12], "sh", "-c", "echo inside; exit 4", check=False)
        assert (done.returncode, done.stdout) == (4, "inside\n")
        assert json.loads(daemon.cli("inspect", pod_id[:12]).stdout)
        assert "netns" in daemon.cli("trace", pod_id[:12]).stdout or "namespaces" in daemon.cli("trace", pod_id[:12]).stdout
        assert "monopod" in daemon.cli("version").stdout


def test_run_and_remove(daemon, image):
    done = daemon.cli("run", "--rm", image, "sh", "-c", "echo ran; exit 0")
    assert "ran" in done.stdout
    assert not daemon.client().ListPodSandbox().items


def test_mistakes_are_explained(daemon):
    unknown = daemon.cli("no-such-command", check=False)
    assert unknown.returncode == 2 and "no-such-command" in unknown.stderr
    absent = daemon.cli("logs", "feedfacefeed", check=False)
    assert absent.returncode == 1 and "feedfacefeed" in absent.stderr
    nobody = daemon.cli("--socket", "/nonexistent.sock", "ps", check=False)
    assert nobody.returncode == 1 and "/nonexistent.sock" in nobody.stderr


@pytest.mark.parametrize("command", ["check"])
def test_check_reports_the_host(daemon, command):
    printed = daemon.cli(command, check=False).stdout
    assert "overlay" in printed and "cgroup" in printed
