// The second foreign client: @grpc/grpc-js. Pulls an image, runs a pod, reads its log, executes, lists in parts, stops and removes, and
// listens to events all the while; prints what it saw.
// Arguments: SOCKET PROTO VERSION IMAGE USER PASSWORD LOG_DIRECTORY CGROUP_PARENT
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import { tmpdir } from "node:os";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [socket, proto, version, image, username, password, logDirectory, cgroupParent] = process.argv.slice(2);

// The contract's package is the service name on the wire; the other version differs by nothing else.
const copy = join(tmpdir(), `mptest-${process.pid}.proto`);
writeFileSync(copy, readFileSync(proto, "utf8").replace("package runtime.v1;", `package runtime.${version};`));
const definition = loader.loadSync(copy, { keepCase: true, longs: Number, enums: String, arrays: true, defaults: true });
rmSync(copy);
const contract = grpc.loadPackageDefinition(definition).runtime[version];

const promised = (client) => (method, request = {}) =>
  new Promise((resolve, reject) =>
    client[method](request, { deadline: Date.now() + 60000 }, (error, reply) => (error ? reject(error) : resolve(reply))));

const address = `unix:${socket}`;
const credentials = grpc.credentials.createInsecure();
const runtimeClient = new contract.RuntimeService(address, credentials);
const imageClient = new contract.ImageService(address, credentials);
const runtime = promised(runtimeClient);
const images = promised(imageClient);

// All parts of a list that is a stream.
const parts = (call) =>
  new Promise((resolve, reject) => {
    const all = [];
    call.on("data", (part) => all.push(part)).on("error", reject).on("end", () => resolve(all));
  });

// Subscribed when the headers are there.
const events = [];
const subscription = runtimeClient.GetContainerEvents({});
const ended = new Promise((resolve) => subscription.on("error", (error) => resolve(error.code)));
subscription.on("data", (event) => events.push(event));
await new Promise((resolve) => subscription.on("metadata", resolve));

const auth = username ? { username, password } : undefined;
const { image_ref } = await images("PullImage", { image: { image }, auth });

const options = { network: "POD", pid: "CONTAINER", ipc: "POD" };
const config = {
  metadata: { name: `js-${version}`, uid: `js-${version}`, namespace: "test", attempt: 0 },
  hostname: "from-js",
  log_directory: logDirectory,
  linux: { cgroup_parent: cgroupParent, security_context: { namespace_options: options } },
};
const { pod_sandbox_id } = await runtime("RunPodSandbox", { config });
const { container_id } = await runtime("CreateContainer", {
  pod_sandbox_id,
  sandbox_config: config,
  config: {
    metadata: { name: "main", attempt: 0 },
    image: { image: image_ref },
    command: ["sh", "-c", 'echo "$WORD from $(hostname)"; sleep 1000'],
    envs: [{ key: "WORD", value: Buffer.from("hello") }],
    log_path: "main.log",
    linux: { security_context: { namespace_options: options } },
  },
});
await runtime("StartContainer", { container_id });
let log = "";
for (let tries = 0; tries < 200 && !log.includes("\n"); tries++) {
  await sleep(20);
  try {
    log = readFileSync(join(logDirectory, "main.log"), "utf8");
  } catch {
    // not there yet
  }
}
const exec = await runtime("ExecSync", { container_id, cmd: ["sh", "-c", "echo seen; exit 6"], timeout: 10 });
const streamed = {
  pods: (await parts(runtimeClient.StreamPodSandboxes({}))).flatMap((part) => part.pod_sandboxes.map((item) => item.id)),
  containers: (await parts(runtimeClient.StreamContainers({}))).flatMap((part) => part.containers.map((item) => item.id)),
  images: (await parts(imageClient.StreamImages({}))).flatMap((part) => part.images.map((item) => item.id)),
};
const { status: pod } = await runtime("PodSandboxStatus", { pod_sandbox_id });
await runtime("StopContainer", { container_id, timeout: 0 });
const { status } = await runtime("ContainerStatus", { container_id });
await runtime("RemoveContainer", { container_id });
await runtime("StopPodSandbox", { pod_sandbox_id });
await runtime("RemovePodSandbox", { pod_sandbox_id });
await images("RemoveImage", { image: { image: image_ref } });
const { items } = await runtime("ListPodSandbox");
const missing = await runtime("ContainerStatus", { container_id }).then(() => "none", (error) => error.code);

for (let tries = 0; tries < 200 && events.length < 8; tries++) await sleep(20);
subscription.cancel();

console.log(JSON.stringify({
  log: log.trimEnd().split(" ").slice(1).join(" "),
  exec: [exec.stdout.toString(), exec.exit_code],
  ip: pod.network.ip,
  exit: status.exit_code,
  state: status.state,
  left: items.length,
  missing,
  streamed: [streamed.pods.includes(pod_sandbox_id), streamed.containers.includes(container_id), streamed.images.includes(image_ref)],
  events: events.map((event) => [event.container_event_type, event.container_id === pod_sandbox_id ? "pod" : "container",
    event.containers_statuses.map((one) => one.state).join()]),
  cancelled: await ended,
}));
process.exit(0);
