"""GELU in its exact form, x Phi(x), lane by lane, for kernels.

Source: Hendrycks & Gimpel 2016, "Gaussian Error Linear Units".
"""

from tercet.kernels.building import Kernel, Value

FARTHEST = 5.5
"""From here on Phi(-x) times x is less than 2e-7, and is left at what it is here."""

TAIL = (
    0.0029797698371112347,
    -0.025007545948028564,
    0.0945579782128334,
    -0.20683316886425018,
    0.271902859210968,
    -0.17682230472564697,
    -0.05164358764886856,
    0.21641774475574493,
    -0.1614203304052353,
    -0.02895694598555565,
    0.12803590297698975,
    -0.05837678909301758,
    -0.03513452410697937,
    0.03741054981946945,
    -0.001392786973156035,
    -0.007831950671970844,
    0.0021151427645236254,
)
"""Coefficients of Phi(-x), 0 to 5.5 moved to -1 to 1: the least largest error, weighed by x."""


def gelu(own: Kernel, x: Value) -> Value:
    """Write max(x, 0) - |x| Phi(-|x|), which is x Phi(x): within 4e-7 of it; NaN stays NaN."""
    code, zero, farthest = own.code, own.floats(0.0), own.floats(FARTHEST)
    size = own.call(f"llvm.fabs.v{own.lanes}f32", x)
    size = code.select(code.fcmp_ordered(">", size, farthest), farthest, size)
    place = own.fma(size, own.floats(2 / FARTHEST), own.floats(-1.0))
    tail = own.floats(TAIL[-1])
    for coefficient in TAIL[-2::-1]:
        tail = own.fma(tail, place, own.floats(coefficient))
    positive = code.select(code.fcmp_ordered("<", x, zero), zero, x)
    return code.fsub(positive, code.fmul(size, tail))
