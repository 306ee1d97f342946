/*
 * The OCI runtime as a program of its own, beside `monopod`: it is started several times for each container, and a program that is linked
 * with what a registry needs takes ten times as long to start as a container does.
 */
#include "oci/oci.h"

int main(int argc, char **argv)
{
	return oci_main(argc, argv);
}
