"""Kernels: loops of our own, written as LLVM code for the processor at hand and compiled when used.

They know arrays and nothing of the rest of the library.
"""
