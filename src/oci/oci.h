/*
 * The OCI runtime command: `monopod oci create|start|state|kill|delete|run|exec|ps|pause|resume|update|events|features|spec`, called by
 * other engines as they call runc and crun, over the same plan compiler as the daemon's containers. A short-lived process without a
 * loop and without a daemon; containers are known by the files below --root (state.h).
 */
#ifndef MONOPOD_OCI_OCI_H
#define MONOPOD_OCI_OCI_H

/* argv[0] is the name for messages. Returns the exit code: that of the container's process for run and exec in the foreground. */
int oci_main(int argc, char **argv);

#endif
