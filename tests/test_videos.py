"Every format there and back, builds that are killed, and a thousand bad files."
import io, json, os, re, signal, socket, subprocess, sys, threading, time, zipfile
from pathlib import Path
import imageio_ffmpeg, numpy as np, pytest, torch
from PIL import Image
from vdsm.data.pendulum import Pendulum
from vdsm.data.sequences import SPLITS
from vdsm.data.video_folder import VideoFolder
from vdsm.lib import video_decode
from vdsm.lib.video_decode import fit_frame, npy_frames, strip_frames, video_frames
from vdsm.lib.video_labels import NothingHeldOut

# file -> how ffmpeg writes it without loss
EXACT = dict(
    h264_mp4=".mp4 -c:v libx264rgb -qp 0",
    h264_mkv=".mkv -c:v libx264rgb -qp 0",
    h265_mkv=".mkv -c:v libx265 -pix_fmt gbrp -x265-params lossless=1:log-level=none",
    vp9_webm=".webm -c:v libvpx-vp9 -lossless 1 -pix_fmt gbrp",
    ffv1_mkv=".mkv -c:v ffv1 -pix_fmt gbrp",
    ffv1_avi=".avi -c:v ffv1 -pix_fmt bgr0",
    ffv1_10bit=".mkv -c:v ffv1 -pix_fmt gbrp10le",
    huffyuv_avi=".avi -c:v huffyuv -pix_fmt rgb24",
    ffvhuff_avi=".avi -c:v ffvhuff -pix_fmt rgb24",
    utvideo_avi=".avi -c:v utvideo -pix_fmt gbrp",
    magicyuv_avi=".avi -c:v magicyuv -pix_fmt gbrp",
    png_mov=".mov -c:v png",
    png_avi=".avi -c:v png",
    qtrle_mov=".mov -c:v qtrle",
    raw_avi=".avi -c:v rawvideo -pix_fmt bgr24",
    raw_mov=".mov -c:v rawvideo -pix_fmt rgb24",
    zmbv_avi=".avi -c:v zmbv",
    jpegls_avi=".avi -c:v jpegls",
    flashsv_mkv=".mkv -c:v flashsv",
)
LOSSY = dict(
    h264_mp4=".mp4 -c:v libx264 -pix_fmt yuv420p",
    h264_m4v=".m4v -c:v libx264 -pix_fmt yuv420p -f mp4",
    openh264_mp4=".mp4 -c:v libopenh264 -b:v 1M",
    h265_mp4=".mp4 -c:v libx265 -crf 10 -x265-params log-level=none",
    vp8_webm=".webm -c:v libvpx -b:v 1M -crf 4",
    vp9_webm=".webm -c:v libvpx-vp9 -crf 10 -b:v 0",
    av1_webm=".webm -c:v libaom-av1 -crf 15 -cpu-used 8",
    av1_mkv=".mkv -c:v libsvtav1 -crf 15",
    mjpeg_avi=".avi -c:v mjpeg -q:v 2 -pix_fmt yuvj444p",
    mjpeg_mov=".mov -c:v mjpeg -q:v 2 -pix_fmt yuvj420p",
    mpeg4_avi=".avi -c:v mpeg4 -q:v 2",
    mpeg4_mp4=".mp4 -c:v mpeg4 -q:v 2",
    xvid_avi=".avi -c:v libxvid -q:v 2",
    msmpeg4_avi=".avi -c:v msmpeg4 -q:v 2",
    wmv2_mkv=".mkv -c:v wmv2 -q:v 2",
    theora_mkv=".mkv -c:v libtheora -q:v 9",
    prores_mov=".mov -c:v prores",
    jpeg2000_mov=".mov -c:v jpeg2000",
    cinepak_avi=".avi -c:v cinepak",
    mpeg2_mkv=".mkv -c:v mpeg2video -q:v 2",
)
T = 16


@pytest.fixture(scope="module")
def clip(): return (Pendulum("validation", 7)[0] * 255).round().byte().permute(0, 2, 3, 1).numpy()


def write_video(file, x, options):
    "Frames [T,H,W,3] of bytes as a video."
    rate = "25" if "mpeg2" in options else "8"
    said = subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-y",
            "-v",
            "error",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-s",
            f"{x.shape[2]}x{x.shape[1]}",
            "-r",
            rate,
            "-i",
            "-",
            *options.split(),
            str(file),
        ],
        input=np.ascontiguousarray(x).tobytes(),
        capture_output=True,
    )
    assert not said.returncode, said.stderr.decode()


def encoders():
    lines = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-encoders"],
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return {line.split()[1] for line in lines if line.startswith(" V")}


def bytes_of(data):
    return (data.clips(range(len(data))) * 255).round().byte().permute(0, 1, 3, 4, 2).numpy()


def only(tmp_path, **options):
    "The frames of the one clip in tmp_path/clips."
    data = VideoFolder(tmp_path / "clips", cache=tmp_path / "cache", strict=True, **options)
    assert len(data) == 1
    assert data.videos.lengths.tolist() == [T]
    return bytes_of(data)[0]


@pytest.mark.parametrize("name", [f"exact-{k}" for k in EXACT] + [f"lossy-{k}" for k in LOSSY])
def test_videos_there_and_back(name, tmp_path, clip):
    kind, name = name.split("-")
    ending, _, options = (EXACT if kind == "exact" else LOSSY)[name].partition(" ")
    if (codec := options.split()[1]) not in encoders():
        pytest.skip(f"this ffmpeg cannot write {codec}")
    (tmp_path / "clips").mkdir()
    write_video(tmp_path / "clips" / f"clip{ending}", clip, options)
    back = only(tmp_path)
    if kind == "exact": assert (back == clip).all()
    else: assert abs(back.astype(int) - clip).mean() < 1.5


def as_gif(file, x):
    pages = [Image.fromarray(f).quantize(256) for f in x]
    pages[0].save(file, save_all=True, append_images=pages[1:], duration=125)
def as_pages(file, x, **options):
    pages = [Image.fromarray(f) for f in x]
    pages[0].save(file, save_all=True, append_images=pages[1:], **options)
def as_frames(folder, x, ending, **options):
    folder.mkdir()
    [Image.fromarray(f).save(folder / f"img_{i}{ending}", **options) for i, f in enumerate(x)]
def as_npz(file, x): np.savez_compressed(file, x)
def as_strip(file, x): Image.fromarray(np.concatenate(x, 1)).save(file)


OTHERS = dict(
    gif=lambda d, x: as_gif(d / "clip.gif", x),
    apng=lambda d, x: as_pages(d / "clip.png", x),
    webp=lambda d, x: as_pages(d / "clip.webp", x, lossless=True),
    tiff=lambda d, x: as_pages(d / "clip.tiff", x),
    **{
        f"frames{e}": (lambda d, x, e=e: as_frames(d / "clip", x, e))
        for e in (".png", ".bmp", ".ppm", ".tif")
    },
    frames_webp=lambda d, x: as_frames(d / "clip", x, ".webp", lossless=True),
    strip=lambda d, x: as_strip(d / "clip.png", x),
    npy=lambda d, x: np.save(d / "clip.npy", x),
    npy_channels_first=lambda d, x: np.save(d / "clip.npy", x.transpose(0, 3, 1, 2)),
    npz=lambda d, x: as_npz(d / "clip.npz", x),
    npy_float=lambda d, x: np.save(d / "clip.npy", x / np.float32(255)),
    npy_16bit=lambda d, x: np.save(d / "clip.npy", x.astype(np.uint16) * 257),
    npy_fortran=lambda d, x: np.save(d / "clip.npy", np.asfortranarray(x)),
    npy_batch=lambda d, x: np.save(d / "clip.npy", x[None]),
)


@pytest.mark.parametrize("name", OTHERS)
def test_pictures_and_arrays_there_and_back(name, tmp_path, clip):
    (tmp_path / "clips").mkdir()
    OTHERS[name](tmp_path / "clips", clip)
    assert (only(tmp_path) == clip).all()


def test_jpeg_frames_there_and_back(tmp_path, clip):
    (tmp_path / "clips").mkdir()
    as_frames(tmp_path / "clips" / "clip", clip, ".jpg", quality=95)
    assert abs(only(tmp_path).astype(int) - clip).mean() < 2


def test_many_clips_of_a_file_and_a_changed_file(tmp_path, clip):
    folder, options = tmp_path / "clips", dict(cache=tmp_path / "cache", held_out=0)
    folder.mkdir()
    np.save(folder / "many.npy", np.stack([clip, clip[::-1]]))
    data = VideoFolder(folder, **options)
    assert (
        data.videos.names == ["many.npy[0]", "many.npy[1]"]
        and (bytes_of(data)[1] == clip[::-1]).all()
    )
    time.sleep(.02)
    # as long as before, and other content
    np.save(folder / "many.npy", np.stack([clip[::-1], clip]))
    assert (bytes_of(VideoFolder(folder, **options))[0] == clip[::-1]).all()
    assert len([f for f in (tmp_path / "cache").iterdir()]) == 2


def test_the_second_start_reads_the_cache(tmp_path, clip, monkeypatch):
    folder, options = tmp_path / "clips", dict(cache=tmp_path / "cache")
    for i in range(200):
        np.save(
            (folder / str(i % 7)).mkdir(parents=True, exist_ok=True)
            or folder / str(i % 7) / f"{i}.npy",
            clip,
        )
    (folder / "odd.npy").write_bytes(b"odd")
    first = VideoFolder(folder, **options)
    monkeypatch.setattr("vdsm.lib.video_cache.decode", None)
    began = time.time()
    again = VideoFolder(folder, **options)
    print(f"second start: {(time.time() - began) * 5:.2f} s per 1,000 clips")
    assert (
        again.skipped == first.skipped
        and "odd.npy" in again.skipped
        and torch.equal(again.clips([3]), first.clips([3]))
    )


BUILD = """
import sys
import vdsm.data.video_folder as v, vdsm.lib.video_cache as c
fit = c.fit_frame
def slow(*args):
    print('frame', flush=True)
    return fit(*args)
c.fit_frame = slow
v.VideoFolder(sys.argv[1], cache=sys.argv[2])
"""


def test_a_killed_build_leaves_no_cache(tmp_path, clip):
    folder, cache = tmp_path / "clips", tmp_path / "cache"
    folder.mkdir()
    for i in range(5): write_video(folder / f"{i}.mp4", clip, "-c:v libx264rgb -qp 0")
    child = subprocess.Popen(
        [sys.executable, "-c", BUILD, str(folder), str(cache)], stdout=subprocess.PIPE, text=True
    )
    for i, _ in enumerate(child.stdout):
        if i == 40: child.send_signal(signal.SIGKILL); break
    assert child.wait() == -signal.SIGKILL
    # nothing under a name that is read
    assert [f.suffix for f in sorted(cache.iterdir())] == [".lock", ".tmp"]
    # so that the next build has another name
    (folder / "0.mp4").rename(folder / "5.mp4")
    data = VideoFolder(folder, cache=cache, held_out=0)
    assert len(data) == 5 and (bytes_of(data) == clip).all()
    # what the dead left is gone
    assert [f.suffix for f in cache.iterdir()] == [""]


def test_two_that_build_at_once_build_once(tmp_path, clip):
    folder, cache = tmp_path / "clips", tmp_path / "cache"
    folder.mkdir()
    for i in range(3): write_video(folder / f"{i}.mp4", clip, "-c:v libx264rgb -qp 0")
    both = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, str(folder), str(cache)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [p.communicate(timeout=60)[0].count("frame") for p in both]
    assert [p.returncode for p in both] == [0, 0] and sorted(said) == [0, 3 * T]
    assert [f.suffix for f in cache.iterdir()] == [""]


def test_pictures_are_read_for_what_they_show(tmp_path, clip):
    strip, rng = np.concatenate(clip, 1), np.random.default_rng(0)
    grey, a = strip.max(-1), rng.integers(0, 256, (*strip.shape[:2], 1), dtype=np.uint8)
    palette = Image.fromarray(strip).quantize(7)
    index, colours = np.array(palette), np.array(palette.convert("RGB"))
    three = lambda x: x[..., None].repeat(3, -1)
    shown = dict(  # file -> what is saved, what must be seen
        grey_png=(grey, three(grey)),
        grey16_png=(grey.astype(np.uint16) * 257, three(grey)),
        float_tif=(grey / np.float32(255), three(grey)),
        int_tif=(grey.astype(np.int32) * 257, three(grey)),
        rgba_png=(np.concatenate([strip, a], -1), strip * (a / 255)),
        la_png=(np.concatenate([grey[..., None], a], -1), three(grey) * (a / 255)),
        bool_png=(grey > 99, three(grey > 99) * 255),
        palette_png=(palette, colours),
        clear_png=(palette, colours * (index != 3)[..., None]),
        cmyk_tif=(Image.fromarray(strip).convert("CMYK"), strip),
    )
    (tmp_path / "clips").mkdir()
    for name, (x, _) in shown.items():
        im = x if isinstance(x, Image.Image) else Image.fromarray(x)
        im.save(
            tmp_path / "clips" / f"{name[:-4]}.{name[-3:]}",
            **(dict(transparency=3) if name == "clear_png" else {}),
        )
    data = VideoFolder(tmp_path / "clips", cache=tmp_path / "cache", strict=True, held_out=0)
    assert len(data) == len(shown)
    for x, i in zip(bytes_of(data), data.clip.tolist()):
        assert (
            abs(
                x - np.stack(np.split(shown[data.videos.names[i].replace(".", "_")][1], T, 1))
            ).max()
            <= 0.51
        ), data.videos.names[i]


def child(code): return lambda *_: [sys.executable, "-c", code]


def test_a_decoder_that_is_silent_slow_or_endless_is_handled(tmp_path, monkeypatch):
    said = lambda **options: video_frames(tmp_path / "x.mp4", **options)
    monkeypatch.setattr(video_decode, "decoder", child("import time; time.sleep(60)"))
    with pytest.raises(ValueError, match="silent for 0.1 seconds"): next(said(patience=.1))
    # 2 frames and a part of a third
    slow = "import os, time\nfor _ in range(8): os.write(1, bytes(5000)); time.sleep(.05)"
    monkeypatch.setattr(video_decode, "decoder", child(slow))
    assert len(list(said(patience=20))) == 2
    monkeypatch.setattr(
        video_decode, "decoder", child("import os\nwhile True: os.write(1, bytes(99999))")
    )
    began, frames = time.time(), said()
    next(frames)
    time.sleep(.3)
    frames.close()                                          # nobody reads to the end
    assert time.time() - began < 10
    # the decoder and its reader are gone
    assert not [t for t in threading.enumerate() if "(read)" in t.name]


def test_uneven_frame_rates_and_turned_videos(tmp_path, clip):
    watch = lambda file: np.stack([fit_frame(f) for _, f in video_frames(file)]).astype(int)
    write_video(tmp_path / "x.mp4", clip, "-c:v libx264rgb -qp 0")
    write_video(
        tmp_path / "uneven.mp4",
        clip,
        "-c:v libx264rgb -qp 0 -vf setpts='N*N/TB/50' -fps_mode passthrough",
    )
    assert (watch(tmp_path / "uneven.mp4") == clip).all()
    turn = [
        "-display_rotation",
        "90",
        "-i",
        str(tmp_path / "x.mp4"),
        "-c",
        "copy",
        str(tmp_path / "turned.mp4"),
    ]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *turn], check=True)
    assert (watch(tmp_path / "turned.mp4") == np.rot90(clip, 1, (1, 2))).all()


def test_sixteen_bit_float_and_palette_strips(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (64, 192, 3), dtype=np.uint8)
    grey = x[..., 0]

    def shown(im, name="strip.png"):
        im.save(tmp_path / name)
        return np.stack([fit_frame(f) for _, f in strip_frames(tmp_path / name)])

    wanted = np.stack(np.split(grey[..., None].repeat(3, -1), 3, 1))
    assert (shown(Image.fromarray(grey.astype(np.uint16) * 257)) == wanted).all()
    assert (shown(Image.fromarray(grey.astype(np.int32) * 257), "strip.tif") == wanted).all()
    assert (shown(Image.fromarray(grey / np.float32(255)), "strip.tif") == wanted).all()
    palette = Image.fromarray(x).quantize(16)
    assert (shown(palette) == np.stack(np.split(np.array(palette.convert("RGB")), 3, 1))).all()
    np.save(tmp_path / "x.npy", np.stack(np.split(x / 255, 3, 1)).astype(">f4"))
    assert (
        np.stack([fit_frame(f) for _, f in npy_frames(tmp_path / "x.npy")])
        == np.stack(np.split(x, 3, 1))
    ).all()


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    "Fourteen films of seven colours at two speeds, as <colour>/<speed>/clip.npy."
    root, data = tmp_path_factory.mktemp("films") / "pendula", Pendulum("validation", 14)
    for i, x in enumerate(bytes_of(data)):
        folder = root / data.classes["colour"][i % 7] / data.classes["speed"][i // 7]
        folder.mkdir(parents=True)
        np.save(folder / "clip.npy", x)
    return root


def read(films, split="train", **options):
    return VideoFolder(films, split, **dict(cache=films.parent / "cache", held_out=.3) | options)


def test_segments_with_a_stride_and_grey_frames(films):
    train, halves = read(films), read(films, n_frames=4, stride=2)
    assert halves[0].shape == (4, 3, 64, 64) and len(halves) == 3 * len(train)
    times = halves.start[1] - train.start[0] + 2 * torch.arange(4)
    assert torch.equal(halves[1], train.frames(*torch.broadcast_tensors(torch.tensor(0), times)))
    assert torch.equal(read(films, n_frames=4, stride=2, seed=0).start, halves.start)
    assert (read(films, n_frames=4, stride=2, seed=3).start != halves.start).any()
    luma = (train.clips([0]) * torch.tensor([.299, .587, .114])[:, None, None]).sum(2, keepdim=True)
    assert torch.allclose(read(films, channels=1).clips([0]), luma, atol=1/255)


def test_mistakes_are_answered_in_a_sentence(films, tmp_path):
    one, two = (dict(held_out=.15, groups=lambda name, n=n: len(name) % n) for n in (1, 2))
    (tmp_path / "empty").mkdir()
    for error, word, call in [
        (FileNotFoundError, "no folder .*nowhere", lambda: VideoFolder(tmp_path / "nowhere")),
        (ValueError, "holds no clip.*it is empty.*put videos", lambda: read(tmp_path / "empty")),
        (ValueError, "unknown split", lambda: read(films, "valid")),
        (ValueError, "choose 3 for colour", lambda: read(films, channels=2)),
        (ValueError, "choose 'crop'", lambda: read(films, fit="zoom")),
        (ValueError, "fits no clip", lambda: read(films, pattern="{identity}")),
        (ValueError, "1 or more", lambda: read(films, stride=0)),
        *(
            (
                NothingHeldOut,
                f"can be held out for {s}; add clips",
                lambda s=s: read(films, s, **one),
            )
            for s in SPLITS[1:]
        ),
        *(
            (NothingHeldOut, f"leaves no clip for {s}", lambda s=s: read(films, s, held_out=0))
            for s in SPLITS[1:]
        ),
        (
            NothingHeldOut,
            "has 2 parts .* leaves none for validation; add clips",
            lambda: read(films, "validation", **two),
        ),
        (ValueError, "choose 'clip', 'identity' or", lambda: read(films, split_by="file")),
        (FileNotFoundError, "no table of labels", lambda: read(films, labels=films / "none.csv")),
        (
            ValueError,
            "no factor 'mood'; its factors are identity, action",
            lambda: read(films, static_factors=("mood",)),
        ),
        (ValueError, "16 frames, and a segment takes 31", lambda: read(films, stride=2)),
    ]:
        with pytest.raises(error, match=word): call()
    assert len(read(films, **one)) == 14                    # one group is enough to train on
    # of two, one is for test
    assert len(read(films, **two)) + len(read(films, "test", **two)) == 14


# the thousand: name -> bytes, each from a generator that is seeded by its number

def encoded(save): out = io.BytesIO(); save(out); return out.getvalue()
def picture(x, form="PNG", **options):
    return encoded(lambda out: Image.fromarray(x).save(out, form, **options))
def npy(x, **options): return encoded(lambda out: np.save(out, x, **options))
def npz(x): return encoded(lambda out: np.savez_compressed(out, x))


def good_files(rng, clip):
    "Small files of all kinds, ending -> bytes."
    x = clip[:, ::4, ::4]
    strip = np.concatenate(x, 1)
    grey = strip.mean(-1)
    alpha = np.concatenate([strip, rng.integers(0, 256, (*strip.shape[:2], 1), dtype=np.uint8)], -1)
    pages = [Image.fromarray(f).quantize(64) for f in x]
    return dict(
        png=picture(strip),
        jpg=picture(strip, "JPEG"),
        bmp=picture(strip, "BMP"),
        webp=picture(strip, "WEBP"),
        tif=picture(strip, "TIFF"),
        ppm=picture(strip, "PPM"),
        npy=npy(x),
        npz=npz(x),
        gif=encoded(lambda out: pages[0].save(out, "GIF", save_all=True, append_images=pages[1:])),
    ), dict(
        png=[
            picture(grey.astype(np.uint8)),
            picture((grey * 257).astype(np.uint16)),
            picture(alpha),
            picture(np.ascontiguousarray(alpha[..., 2:])),
            encoded(lambda out: Image.fromarray(strip).quantize(7).save(out, "PNG")),
            encoded(
                lambda out: Image.fromarray(strip).quantize(7).save(out, "PNG", transparency=3)
            ),
            picture(grey > 100),
        ],
        tif=[
            picture((grey * 257).astype(np.uint16), "TIFF"),
            picture((grey / 255).astype(np.float32), "TIFF"),
            picture((grey * 257).astype(np.int32), "TIFF"),
            picture(alpha, "TIFF"),
            encoded(lambda out: Image.fromarray(strip).convert("CMYK").save(out, "TIFF")),
        ],
        npy=[
            npy(x[..., 0]),
            npy((x * 257.0).astype(">u2")),
            npy(x / 255),
            npy((x / 255).astype(np.float16)),
            npy(x[..., 0] > 9),
            npy(x[:, :1, :1]),
            npy(x[:, :1, :1, 0]),
        ],
        npz=[npz(x / 255), npz(np.stack([x, x]))],
        gif=[encoded(lambda out: pages[0].save(out, "GIF"))],
    )


def bad_headers(rng):
    "Arrays that lie, that are empty, that are of no use or hold pickles."
    big = npy(np.zeros((16, 8, 8), np.uint8))
    huge = npz_of(big.replace(b"(16, 8, 8), }", b"(16, 8, 8000000), }"))
    return [
        big.replace(b"(16, 8, 8)", b"(16, 8, 9)"),
        big.replace(b"16, 8, 8), }      ", b"9999999, 8888, 88), }"),
        big.replace(b"'|u1'", b"'|O1'"),
        big.replace(b"16,", b"-6,"),
        big.replace(b"'descr'", b"'decsr'"),
        big.replace(b"NUMPY\x01", b"NUMPY\x07"),
        big.replace(b"|u1", b"<i8"),
        npy(np.array([None, {}], object), allow_pickle=True),
        npy(np.zeros((0, 8, 8, 3), np.uint8)),
        npy(np.zeros((16, 0, 8), np.uint8)),
        npy(np.zeros(9, np.uint8)),
        npy(np.full((16, 8, 8), np.nan)),
        npy(np.full((16, 8, 8), 7.0)),
        npy(np.full((16, 8, 8), np.inf, np.float32)),
        npy(np.zeros((16, 8, 8), int)),
        npy(np.zeros((16, 8, 8), complex)),
        npy(np.zeros((16, 8, 8), "U3")),
        npy(np.zeros((16, 8, 8), "M8[s]")),
        npy(np.zeros((16, 8, 8, 2), np.uint8)),
        npy(np.zeros((16, 8, 8), [("a", "u1")])),
        npy(np.zeros((3, 8, 8), np.uint8)),
        npy(np.zeros((1, 1, 1, 1, 1, 1), np.uint8)),
    ], [
        huge,
        npz_of(big[:-9]),
        npz_of(b""),
        encoded(lambda out: zipfile.ZipFile(out, "w").close()),
        encoded(lambda out: np.savez(out, np.array([None], object))),
    ]


def npz_of(raw, name="x.npy"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z: z.writestr(name, raw)
    return out.getvalue()


def bad_pictures():
    "Sizes that nobody should set memory aside for."

    def png_header(w, h):
        import struct, zlib

        chunk = lambda kind, body: (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">2I5B", w, h, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(100)))
            + chunk(b"IEND", b"")
        )

    return [
        png_header(w, h)
        for w, h in (
            (2**31 - 1, 2**31 - 1),
            (0, 0),
            (60_000, 30_000),
            (8_192, 8_192),
            (160, 10),
            (11, 10),
        )
    ] + [
        b"P6 99999 99999 255\n",
        b"P6 0 0 255\n",
        b"BM" + b"\xff" * 60,
        b"GIF89a\xff\xff\xff\xff" + bytes(9),
    ]


def damaged(rng, raw):
    "Truncated or with bits flipped."
    raw = bytearray(raw)
    if rng.random() < .5: return bytes(raw[:rng.integers(1, len(raw))])
    for i in rng.integers(0, len(raw), rng.choice([1, 3, 30])): raw[i] ^= 1 << rng.integers(8)
    return bytes(raw)


def write_bad(root, clip, n=1000, seed=0):
    """So many bad or odd inputs below a folder; how many, those of them that can be read, and some
    that must not be."""
    rng, files = np.random.default_rng(seed), []
    good, odd = good_files(rng, clip)
    videos = {}
    for how, name in [
        (EXACT, k) for k in ("h264_mp4", "h264_mkv", "vp9_webm", "ffv1_mkv", "png_mov", "raw_avi")
    ] + [(LOSSY, k) for k in ("mjpeg_avi", "vp8_webm", "av1_mkv")]:
        ending, _, options = how[name].partition(" ")
        write_video(
            file := root.parent / f"{name}{ending}",
            clip[:, ::4, ::4] if how is EXACT else clip,
            options,
        )
        videos[name + ending] = file.read_bytes()
    files += [(e, raw) for e, some in odd.items() for raw in some]
    readable = len(files) - 1  # the last is a GIF of one page
    headers = bad_headers(rng)
    files += [("npy", raw) for raw in headers[0]] + [("npz", raw) for raw in headers[1]]
    useless = len(files)
    files += [(e, raw) for raw in bad_pictures() for e in ("png", "jpg", "gif", "bmp")]
    files += [
        ("npy", npy(clip[:t, :h, :w]))
        for t, h, w in ((16, 1, 1), (1, 1, 1), (16, 1, 64), (16, 64, 1), (15, 4, 4), (17, 3, 4))
    ]
    kinds = [
        "png",
        "jpg",
        "gif",
        "mp4",
        "avi",
        "webm",
        "mkv",
        "mov",
        "npy",
        "npz",
        "tif",
        "bmp",
        "webp",
    ]
    files += [
        (e, raw)
        for e in kinds
        for raw in (b"", b"\0", b"not what its name says\n", b"\0" * 5000, rng.bytes(3000))
    ]
    # good ones under another's name
    files += [
        (e, raw)
        for e in kinds
        for k, raw in (good | videos).items()
        if rng.random() < 0.25 and not k.endswith(e)
    ]
    files += [(k.split(".")[-1], damaged(rng, raw)) for _ in range(16) for k, raw in videos.items()]
    while len(files) < n - 60:
        k = rng.choice(list(good))
        files.append((k, damaged(rng, good[k])))
    names = [f"{'abcdefg'[i % 7]}{i}x.{ending}" for i, (ending, _) in enumerate(files)]
    for name, (_, raw) in zip(names, files):
        (root / name).write_bytes(raw)
    return (
        n,
        set(names[:readable]) | write_odd_entries(root, clip, rng, n - len(files)),
        set(names[readable + 1 : useless]),
    )


def write_odd_entries(root, clip, rng, n):
    """What is no regular file, names that are no UTF-8, links in circles, folders of frames with a
    bad one; those that can be read."""
    raw, readable = os.fsencode(root), set()
    for i in range(n):
        at = root / f"odd{i}"
        match i % 12:
            # a link to itself
            case 0:
                os.symlink(at, at)
            case 1:
                os.symlink(root, at)
            case 2:
                os.symlink("/", at)
            case 3:
                os.symlink(root / "nowhere.mp4", root / f"odd{i}.mp4")
            case 4:
                os.mkfifo(root / f"odd{i}.mp4")
            case 5:
                (root / f"odd{i}.png").mkdir()
            case 6:
                name = os.fsdecode(b"\xff\xfe odd\n%d.npy" % i)
                np.save(root / name, clip[:, ::8, ::8])
                readable.add(name)
            case 7:
                Path(os.fsdecode(raw + b"/\x80%d.mp4" % i)).write_bytes(b"\x80")
            case 8:
                at.mkdir()
                [
                    (at / f"im\ng_{k}.png").write_bytes(picture(f)[: 40 if k == 7 else None])
                    for k, f in enumerate(clip)
                ]
            # another size and kind
            case 9:
                as_frames(at, clip, ".png")
                Image.new("I;16", (5, 9), 65535).save(at / "img_7.png")
                readable.add(at.name)
            case 10:
                s = socket.socket(socket.AF_UNIX)
                s.bind(os.path.relpath(root / f"odd{i}.gif"))
                s.close()
            case 11:
                (at / "down").mkdir(parents=True)
                os.symlink(at, at / "down" / "up")
                np.save(at / "down" / "clip.npy", clip[:3])
    return readable


FUZZ = """
import json, re, resource, sys, time
from pathlib import Path
from vdsm.data.video_folder import VideoFolder
began = time.time()
data = VideoFolder(sys.argv[1], cache=sys.argv[2], held_out=0, pattern='...')
seconds, low, high, finite = time.time() - began, 1., 0., True
for i in range(len(data)):
    x = data[i]
    assert x.shape == (16, 3, 64, 64)
    low, high = min(low, x.min().item()), max(high, x.max().item())
    finite = finite and bool(x.isfinite().all())
# getrusage gives a process at least the memory of its parent
own = re.search(r'VmHWM:[^0-9]*([0-9]+)', Path('/proc/self/status').read_text())
mb = [int(own[1])/1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/1024]
used = sorted({data.videos.names[c] for c in data.clip.tolist()})
print(json.dumps(dict(skipped=data.skipped, names=data.videos.names, used=used, low=low, high=high,
                      finite=finite, mb=mb, seconds=seconds)))
"""


def test_a_thousand_bad_inputs(tmp_path, clip, monkeypatch):
    # the name of a socket is short
    monkeypatch.chdir(tmp_path)
    root, cache = tmp_path / "bad", tmp_path / "cache"
    root.mkdir()
    n, right, wrong = write_bad(root, clip)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", FUZZ, str(root), str(cache)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    # no warning, no word of ffmpeg's
    assert not [
        line for line in run.stderr.splitlines() if not re.match(r" *$|decoding bad: ", line)
    ], run.stderr[-3000:]
    said = json.loads(run.stdout.splitlines()[-1])
    print(
        f"{n} inputs: {len(said['used'])} clips read, {len(said['skipped'])} named; "
        f"{said['seconds']:.0f} s, {said['mb'][0]:.0f} and {said['mb'][1]:.0f} MB"
    )
    assert n >= 1000 and sum(said["mb"]) < 2000 and said["seconds"] < 90
    assert said["finite"] and said["low"] >= 0 and said["high"] <= 1
    assert [f.suffix for f in cache.iterdir()] == [""]
    assert all(
        why and why == why.strip() and "\n" not in why and len(why) < 400
        for why in said["skipped"].values()
    ), said["skipped"]
    known = {k.split("[")[0] for k in (*said["skipped"], *said["used"])}
    missing = [
        e.name
        for e in os.scandir(root)
        if e.name not in known and not any(k.startswith(e.name + "/") for k in known)
    ]
    assert not missing, missing
    assert not wrong - set(said["skipped"])
    assert not set(said["used"]) & set(said["skipped"]) and not right - {
        k.split("[")[0] for k in said["used"]
    }
