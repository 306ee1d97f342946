/* monopod-unpack: what the daemon starts for each layer, to decompress and unpack it (image/unpack.h). */
#include "image/unpack.h"

int main(void)
{
	return image_unpack_main();
}
