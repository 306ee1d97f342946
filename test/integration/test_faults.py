"""Each step of a pod and container start fails once, by the daemon's own tables; nothing is left, and the next try works."""
import grpc
import pytest

from harness.cri import container_config, cri, pod_config
from harness.inventory import baseline, settle
from harness.pods import log_lines

POD_MACHINES, CONTAINER_MACHINES = ("run_pod",), ("create_container", "start_container", "plan")


def steps(daemon, wanted):
    machines = {machine.name: [step.name for step in machine.steps] for machine in daemon.client().ListMachines().machines}
    assert set(wanted) <= set(machines), f"machines of the daemon: {sorted(machines)}"
    return [(name, step) for name in wanted for step in machines[name]]


@pytest.fixture
def armed(daemon):
    yield daemon
    daemon.disarm()


def test_each_step_of_a_pod_start(armed, logs):
    client = armed.client()
    before = baseline(armed)
    table = steps(armed, POD_MACHINES)
    failed = []
    for machine, step in table:
        armed.arm(machine, step)
        config = pod_config("faulty", logs, pid=cri.POD)
        with pytest.raises(grpc.RpcError) as caught:
            client.RunPodSandbox(config=config)
        assert step in caught.value.details(), (machine, step, caught.value.details())
        armed.disarm()
        assert not client.ListPodSandbox().items, (machine, step)
        settle(armed, before)
        failed.append(step)
        pod_id = client.RunPodSandbox(config=config).pod_sandbox_id
        client.StopPodSandbox(pod_sandbox_id=pod_id)
        client.RemovePodSandbox(pod_sandbox_id=pod_id)
    assert len(failed) == len(table) >= 5
    settle(armed, before)


def test_each_step_of_a_container_start(armed, image, logs):
    client = armed.client()
    config = pod_config("host-of-faults", logs)
    pod_id = client.RunPodSandbox(config=config).pod_sandbox_id
    before = baseline(armed)
    table = steps(armed, CONTAINER_MACHINES)
    reached = set()
    for attempt, (machine, step) in enumerate(table):
        container = container_config(image, ["sh", "-c", "echo up; sleep 1000"], attempt=attempt, name=f"c{attempt}")
        armed.arm(machine, step)
        try:
            created = client.CreateContainer(pod_sandbox_id=pod_id, config=container, sandbox_config=config)
            client.StartContainer(container_id=created.container_id)
        except grpc.RpcError as error:
            # A failing operation of the plan is named with its object, as clients see it: "mount proc on /proc: Input/output error".
            assert ("Input/output error" if machine == "plan" else step) in error.details(), (machine, step, error.details())
            reached.add((machine, step))
        armed.disarm()
        for item in client.ListContainers().containers:
            client.StopContainer(container_id=item.id, timeout=0)
            client.RemoveContainer(container_id=item.id)
        settle(armed, before)
    # Operations of the plan that this container does not have (a tty, a pod's init) cannot fail in it.
    untouched = {entry for entry in table if entry not in reached}
    assert all(machine == "plan" for machine, _ in untouched), untouched
    assert sum(machine == "plan" for machine, _ in reached) >= 12, sorted(reached)
    container_id = client.CreateContainer(pod_sandbox_id=pod_id, sandbox_config=config,
                                          config=container_config(image, ["echo", "works"], name="after")).container_id
    client.StartContainer(container_id=container_id)
    assert log_lines(logs / "after.log", 1)[0][2] == "works"
    client.StopPodSandbox(pod_sandbox_id=pod_id)
    client.RemovePodSandbox(pod_sandbox_id=pod_id)
