"""Source of the frames of a video file: all, or every N-th."""

from __future__ import annotations

import math
import re
import threading
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image

from pipeline.data.sources.source import Source
from pipeline.errors import UserError


def open_video(path: Path, every: str = "") -> Source:
    """Open the frames of a video in the order of display, as upright RGB, without labels.

    Args:
        path: Path of the video; its first video track is read.
        every: Step between frames as text, such as `10` for frames 0, 10, 20; empty for all.

    Raises:
        UserError: if the package `av` is missing, the video is damaged or has no key frames,
            frames have no display times, or `every` is not a whole number above 0.
    """
    if not re.fullmatch(r"([1-9]\d*)?", every, re.ASCII):
        raise UserError(f"`VIDEO:N` must take every N-th frame. Received: {path}:{every}")
    try:
        import av
    except ImportError as error:
        raise UserError(
            f"videos need another package: pip install 'growgan[video]'. Received: {path}"
        ) from error
    # Read the display time of each frame from its packet, without decoding any frame.
    is_key_frame: dict[int, bool] = {}
    try:
        with av.open(str(path)) as container:
            tracks = container.streams.video
            for packet in container.demux(tracks[0]) if tracks else ():
                # Skip the empty last packet, which only flushes the decoder.
                if packet.size and not packet.is_discard:
                    if packet.pts is None:
                        raise UserError(
                            "a video must state when frames are shown: `ffmpeg -fflags +genpts -i "
                            f"OLD -c copy NEW` adds it. Received: {path}"
                        )
                    is_key_frame[packet.pts] = packet.is_keyframe
    except av.FFmpegError as error:
        raise UserError(f"a video must be readable. Received: {path} ({error.strerror})") from error
    if not any(is_key_frame.values()):
        raise UserError(f"a video must hold key frames. Received: {path}, with none")
    # Sort by display time: packets come in decoding order.
    times = sorted(is_key_frame)
    key_times = [time for time in times if is_key_frame[time]]
    frames = _Frames(path, times[:: int(every or 1)], key_times)
    return Source(
        path.stem, len(frames.times), lambda number: frames.read(number).tobytes(), frames.read
    )


class _Frames:
    """Decoder of the frames with the display times `times`.

    `key_times` has the display times of all key frames, ascending; decoding can start only there.
    """

    def __init__(self, path: Path, times: list[int], key_times: list[int]) -> None:
        self.times = times
        self._path = path
        self._key_times = key_times
        self._lock = threading.Lock()
        self._container: Any = None
        self._decoded: Iterator[Any] = iter(())
        # Display time of the last decoded frame; infinite to seek before the next one.
        self._last_time = math.inf

    def read(self, index: int) -> PIL.Image.Image:
        """Decode the frame `times[index]`.

        Raises:
            OSError: if it cannot be decoded.
        """
        import av

        # Lock, because all threads share one decoder.
        with self._lock:
            try:
                frame = self._frame_at(self.times[index])
            except av.FFmpegError as error:
                # Make the next read seek, because decoding cannot continue after an error.
                self._last_time = math.inf
                raise OSError(error.strerror) from error
        picture: PIL.Image.Image = frame.to_image()
        # Apply the rotation, which phones store beside the unrotated frames.
        return picture.rotate(frame.rotation, expand=True)

    def _frame_at(self, time: int) -> Any:
        import av

        if self._container is None:
            self._container = av.open(str(self._path))
        key_time = self._key_times[max(0, bisect_right(self._key_times, time) - 1)]
        # Seek only if needed, because it is slow: continue to decode if the frame comes after the
        # last one without a key frame in between.
        if not key_time <= self._last_time < time:
            self._container.seek(key_time, stream=self._container.streams.video[0])
            self._decoded = self._container.decode(video=0)
        for frame in self._decoded:
            if frame.pts == time:
                self._last_time = time
                return frame
            if frame.pts is not None and frame.pts > time:
                break
        self._last_time = math.inf
        raise OSError(f"no frame is decoded at the time {time}")
