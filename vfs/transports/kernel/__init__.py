"""The kernel transport: Linux's FUSE protocol spoken on /dev/fuse, with nothing between it and the verbs.

protocol       the structures and opcodes, as data
device         mounting, and what is asked of the device by ioctl(2)
session        the loop that reads requests and sends replies, and its guard
waiting        for the next request, awake or asleep
pool           threads for requests that may wait
interrupts     who is let go that waits
request        one request, read field by field
operations     a method for each opcode, which calls a verb
replies        attributes, entries and usage as structures
handles        what is open, by number
directory      one open directory
opened         how the kernel treats an open file: passthrough and caches
notifications  what the kernel is told without asking
"""
