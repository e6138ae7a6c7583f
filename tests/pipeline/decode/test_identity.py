"""The decoder's name, and the settings that a driver checks without it."""

import json

import av
import pytest

from reelbank.pipeline.decode.config import DecodeConfig
from reelbank.pipeline.decode.identity import decoder_identity


def test_the_decoder_is_named_by_the_versions_of_its_libraries():
    identity = decoder_identity()
    assert identity["pyav"] == av.__version__
    assert identity["device"] == "cpu"
    major = str(av.library_versions["libavcodec"][0])
    assert identity["libavcodec"].split(".")[0] == major
    assert json.loads(json.dumps(identity)) == identity


def test_threads_are_an_explicit_count():
    with pytest.raises(ValueError, match="threads=0"):
        DecodeConfig(threads=0)
