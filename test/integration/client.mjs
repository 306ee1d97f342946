// The second foreign client: @grpc/grpc-js. Pulls an image, runs a pod, reads its log, executes, stops and removes; prints what it saw.
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
const definition = loader.loadSync(copy, { keepCase: true, longs: Number, enums: String, arrays: true });
rmSync(copy);
const contract = grpc.loadPackageDefinition(definition).runtime[version];

const promised = (client) => (method, request = {}) =>
  new Promise((resolve, reject) =>
    client[method](request, { deadline: Date.now() + 60000 }, (error, reply) => (error ? reject(error) : resolve(reply))));

const address = `unix:${socket}`;
const credentials = grpc.credentials.createInsecure();
const runtime = promised(new contract.RuntimeService(address, credentials));
const images = promised(new contract.ImageService(address, credentials));

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
const { status: pod } = await runtime("PodSandboxStatus", { pod_sandbox_id });
await runtime("StopContainer", { container_id, timeout: 0 });
const { status } = await runtime("ContainerStatus", { container_id });
await runtime("RemoveContainer", { container_id });
await runtime("StopPodSandbox", { pod_sandbox_id });
await runtime("RemovePodSandbox", { pod_sandbox_id });
await images("RemoveImage", { image: { image: image_ref } });
const { items } = await runtime("ListPodSandbox");
const missing = await runtime("ContainerStatus", { container_id }).then(() => "none", (error) => error.code);

console.log(JSON.stringify({
  log: log.trimEnd().split(" ").slice(1).join(" "),
  exec: [exec.stdout.toString(), exec.exit_code],
  ip: pod.network.ip,
  exit: status.exit_code,
  state: status.state,
  left: items.length,
  missing,
}));
process.exit(0);
