"""Powers of two, lane by lane, for kernels that exponentiate."""

from collections.abc import Sequence

from llvmlite import ir

from tercet.kernels.building import LANE_INT, Kernel, Value

LOWEST = -127.0
"""Two to the power of this, or of less, is made 0."""

FRACTION = (
    1.0,
    0.6931472028551076,
    0.2402264791362624,
    0.055503324710127755,
    0.009618437357703052,
    0.0013398874464585764,
    0.00015353362004982273,
)
"""Coefficients of 2 ** x from -0.5 to 0.5, by the least largest relative error: 2e-9."""

COARSE = (1.0, 0.6932829279580665, 0.24221096065203115, 0.055008926781318315)
"""The same where 1e-04 is little, as it is for what will be bfloat16."""

ROUNDING = 1.5 * 2**23
"""What a float must be larger than for its last bit to be 1; the sum's last bits are an integer."""

MANTISSA = 23
"""Bits of a float below its exponent."""


def exp2(own: Kernel, x: Value, polynomial: Sequence[float] = FRACTION) -> Value:
    """Write 2 ** x for x up to 127; NaN stays NaN.

    x is the sum of a whole number, which is added to the exponent's bits, and of a fraction, whose
    power a polynomial gives: by default to the last bit or the one before it.
    """
    code = own.code
    lowest, rounding = own.floats(LOWEST), own.floats(ROUNDING)
    x = code.select(code.fcmp_ordered(">", lowest, x), lowest, x)
    shifted = code.fadd(x, rounding)
    fraction = code.fsub(x, code.fsub(shifted, rounding))
    power = own.floats(polynomial[-1])
    for coefficient in polynomial[-2::-1]:
        power = own.fma(power, fraction, own.floats(coefficient))
    bits = ir.VectorType(LANE_INT, own.lanes)
    exponent = code.shl(code.bitcast(shifted, bits), ir.Constant(bits, [MANTISSA] * own.lanes))
    return code.bitcast(code.add(code.bitcast(power, bits), exponent), own.vector)
