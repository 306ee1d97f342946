cmake_minimum_required(VERSION 3.25)
# Puts the lists that the program prints of itself into the frame of a man page.
execute_process(COMMAND ${MONOPOD} help --roff ${ARGUMENTS} OUTPUT_VARIABLE LISTS COMMAND_ERROR_IS_FATAL ANY)
file(READ ${FRAME} text)
string(REPLACE "@LISTS@" "${LISTS}" text "${text}")
string(REPLACE "@VERSION@" "${VERSION}" text "${text}")
file(WRITE ${PAGE} "${text}")
