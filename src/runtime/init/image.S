/* The interpreter as bytes: runtime/init_image.h. */
	.section .rodata
	.balign 16
	.globl init_image_start
	.globl init_image_end
init_image_start:
	.incbin INIT_IMAGE
init_image_end:
	.byte 0
	.section .note.GNU-stack, "", %progbits
