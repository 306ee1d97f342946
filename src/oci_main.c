/* `monopod oci` under a name of its own: other engines call a runtime by a path, without a word before its options. */
#include "oci/oci.h"

int main(int argc, char **argv)
{
	return oci_main(argc, argv);
}
