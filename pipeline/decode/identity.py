"""Which decoder made the pixels: part of every stage key, since other decoders give others."""

import av

LIBRARIES = ("libavcodec", "libavformat", "libavutil", "libswscale")
"""The FFmpeg libraries that pixels and stamps depend on."""


def decoder_identity() -> dict[str, str]:
    """Name the decoder as short strings.

    The number of threads is not named, only the policy: healthy spans decode to the same bits on
    any number of threads, and damaged spans are decoded on one.
    """
    identity = {name: ".".join(map(str, av.library_versions[name])) for name in LIBRARIES}
    identity["pyav"] = av.__version__
    identity["device"] = "cpu"
    identity["threads"] = "any; one for hevc and damaged spans"
    return identity
