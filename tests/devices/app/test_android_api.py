"""What can be said here of the Android side, where neither its SDK nor LiteRT's library can be had.

The core calls nothing of Java that Android 8 lacks (its library is that of Java 8 and a little more). The activity
compiles against the signatures that it uses, written down below from the documentation: a check that it and the core
fit together, and no proof that it builds or runs on a phone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
from jvm import CORE

APP = CORE.parent / "app/src/main"

#: Class -> members without bodies, as the documentation of Android (API 26 and later) and LiteRT has them.
SIGNATURES = {
    "android.app.Activity extends android.content.Context": """
        protected native void onCreate(android.os.Bundle b); protected native void onDestroy();
        protected native void onNewIntent(android.content.Intent i); public native void setContentView(int id);
        public native <T extends android.view.View> T findViewById(int id);
        public native void setIntent(android.content.Intent i); public native android.content.Intent getIntent();
        public native android.view.Window getWindow();
        public native void runOnUiThread(Runnable r);""",
    "abstract android.content.Context": """
        public native java.io.File getExternalFilesDir(String type); public native java.io.File getFilesDir();
        public native android.content.res.AssetManager getAssets(); public native <T> T getSystemService(Class<T> c);
        public native String getString(int id); public native String getString(int id, Object... values);""",
    "android.content.Intent": "public native String getStringExtra(String name);",
    "android.content.res.AssetFileDescriptor implements java.io.Closeable": """
        public native java.io.FileDescriptor getFileDescriptor(); public native long getStartOffset();
        public native long getLength(); public native void close() throws java.io.IOException;""",
    "android.content.res.AssetManager": """
        public static final int ACCESS_STREAMING = 2; public native String[] list(String p) throws java.io.IOException;
        public native AssetFileDescriptor openFd(String p) throws java.io.IOException;
        public native java.io.InputStream open(String p) throws java.io.IOException;
        public native java.io.InputStream open(String p, int mode) throws java.io.IOException;""",
    "android.os.Build": """
        public static final String MANUFACTURER = null, MODEL = null, SOC_MANUFACTURER = null, SOC_MODEL = null;
        public static final String[] SUPPORTED_ABIS = null;
        public static class VERSION { public static final int SDK_INT = Integer.parseInt("26");
        public static final String RELEASE = null; }""",
    "android.os.Bundle": "",
    "android.os.PowerManager": "public native int getCurrentThermalStatus();",
    "android.os.Process": "public static native long getStartUptimeMillis();",
    "android.os.SystemClock": "public static native long uptimeMillis();",
    "android.text.SpannableStringBuilder implements CharSequence": """
        public SpannableStringBuilder(CharSequence s) {} public native SpannableStringBuilder append(CharSequence s);
        public native SpannableStringBuilder append(char c); public native void setSpan(Object s, int a, int b, int f);
        public native int length(); public native char charAt(int i);
        public native CharSequence subSequence(int a, int b);""",
    "interface android.text.Spanned": "int SPAN_EXCLUSIVE_EXCLUSIVE = 33;",
    "android.text.style.BackgroundColorSpan": "public BackgroundColorSpan(int color) {}",
    "android.util.Log": "public static native int e(String tag, String m, Throwable t);",
    "android.view.View": """
        public static final int VISIBLE = 0, GONE = 8; public native void setVisibility(int v);
        public native int getVisibility(); public native void setEnabled(boolean e);
        public native void setOnClickListener(OnClickListener l);
        public interface OnClickListener { void onClick(View v); }""",
    "android.view.Window": "public native void addFlags(int f); public native void clearFlags(int f);",
    "android.view.WindowManager": """
        public static class LayoutParams { public static final int FLAG_KEEP_SCREEN_ON = 128; }""",
    "android.widget.Button extends android.widget.TextView": "",
    "android.widget.EditText extends android.widget.TextView": "",
    "android.widget.TextView extends android.view.View": """
        public native void setText(CharSequence t); public native void setHint(CharSequence t);
        public native CharSequence getText();""",
    "org.tensorflow.lite.Interpreter implements AutoCloseable": """
        public Interpreter(java.nio.ByteBuffer model, Options options) {} public native void close();
        public native void runSignature(
            java.util.Map<String, Object> in, java.util.Map<String, Object> out, String key);
        public static class Options {
            public native Options setNumThreads(int n); public native Options setUseXNNPACK(boolean x); }""",
    "edgebert.app.BuildConfig": 'public static final String LITERT = "";',
}  # fmt: skip


def write_signatures(folder: Path) -> list[Path]:
    """Java files of `SIGNATURES`, and `R` of the app's resources."""
    made = []
    for head, body in (SIGNATURES | {"edgebert.app.R": resources()}).items():
        words = head.split()
        number = next(index for index, word in enumerate(words) if "." in word)
        package, _, name = words[number].rpartition(".")
        before = " ".join(words[:number]) if "interface" in words[:number] else " ".join([*words[:number], "class"])
        path = folder / package.replace(".", "/") / f"{name}.java"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"package {package};\npublic {before} {name} {' '.join(words[number + 1 :])} {{{body}}}\n", "utf-8"
        )
        made.append(path)
    return made


def resources() -> str:
    """The members of the class `R` that Android's tools make of the resources."""
    layout = (APP / "res/layout/activity_main.xml").read_text("utf-8")
    strings = ET.parse(APP / "res/values/strings.xml").getroot()
    names = {
        "id": re.findall(r'"@\+id/(\w+)"', layout),
        "layout": [path.stem for path in (APP / "res/layout").iterdir()],
        "string": [item.attrib["name"] for item in strings],
    }
    return "".join(
        f"public static final class {kind} {{{''.join(f'public static final int {n} = 0;' for n in found)}}}"
        for kind, found in names.items()
    )


def test_the_activity_compiles_with_the_core(classes: Path, tmp_path: Path) -> None:
    sources = [*write_signatures(tmp_path / "signatures"), *APP.rglob("*.java")]
    out = tmp_path / "classes"
    options = ["--release", "17", "-Xlint:all,-serial", "-Werror", "-cp", str(classes), "-d", str(out)]
    done = subprocess.run(["javac", *options, *map(str, sources)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "edgebert/app/MainActivity.class").is_file()


def test_strings_of_the_layout_are_there() -> None:
    strings = {item.attrib["name"] for item in ET.parse(APP / "res/values/strings.xml").getroot()}
    used = set()
    for path in [APP / "AndroidManifest.xml", *APP.rglob("layout/*.xml")]:
        used |= set(re.findall(r'"@string/(\w+)"', path.read_text("utf-8")))
    for path in APP.rglob("*.java"):
        used |= set(re.findall(r"R\.string\.(\w+)", path.read_text("utf-8")))
    assert used == strings


def test_core_calls_only_what_android_8_has(classes: Path, tmp_path: Path) -> None:
    """Every method and field of Java that the compiled core names is in Java 8, or is replaced by D8."""
    home = Path(str(shutil.which("javac"))).resolve().parents[1]
    if not (home / "lib/ct.sym").is_file():
        pytest.skip(f"no {home}/lib/ct.sym, which says what Java 8 has")
    names = [str(path) for path in (classes / "edgebert/core").glob("*.class") if not path.name.startswith("Driver")]
    found = {match.groups() for match in map(REFERENCE.search, javap("-v", "-p", *names)) if match}
    # Records, lambdas and joined strings: D8 rewrites them for every Android version.
    replaced = ("java/lang/runtime/", "java/lang/invoke/", "java/lang/Record")
    found = {item for item in found if not item[0].startswith(replaced)}
    assert len(found) > 100
    java8 = members(home / "lib/ct.sym", {owner for owner, _, _ in found}, tmp_path)
    assert not [item for item in sorted(found) if not has(java8, *item)]
    assert not has(java8, "java/lang/String", "isBlank", "()Z"), "it is newer than Java 8"


#: In `javap -v`: the class, the name and the descriptor of a member of Java's that is used.
REFERENCE = re.compile(r" = (?:Interface)?(?:Methodref|Fieldref) .*// {1,2}(java/[\w/$]+)\.\"?([\w<>$]+)\"?:(\S+)")
HEADER = re.compile(r"^(?:\w+ )*?(?:class|interface) (java[\w.$]+)(.*) \{$")

#: Class -> its members as (name, descriptor), and the classes that it inherits from.
Members = dict[str, tuple[set[tuple[str, str]], list[str]]]


def javap(*arguments: str) -> list[str]:
    """What it writes, by lines."""
    return subprocess.run(["javap", *arguments], capture_output=True, text=True, check=True).stdout.splitlines()


def members(symbols: Path, owners: set[str], folder: Path) -> Members:
    """The members of classes and of all that they inherit from, as Java 8 has them."""
    known: Members = {}
    with zipfile.ZipFile(symbols) as archive:
        entries = {name.partition("java.base/")[2] or name.partition("/")[2]: name
                   for name in archive.namelist() if "8" in name.split("/")[0]}  # fmt: skip
        while owners:
            paths = []
            for owner in sorted(owners & {entry.removesuffix(".sig") for entry in entries}):
                paths.append(folder / f"{owner.replace('/', '.')}.class")
                paths[-1].write_bytes(archive.read(entries[f"{owner}.sig"]))
            fresh = parsed(javap("-s", "-p", *map(str, paths)))
            known |= fresh
            owners = {parent for _, parents in fresh.values() for parent in parents} - known.keys() if paths else set()
    return known


def parsed(lines: list[str]) -> Members:
    """Of the output of `javap -s`."""
    found: Members = {}
    name = ""
    for line, following in pairwise(lines):
        if header := HEADER.match(line):
            name = header[1].replace(".", "/")
            parents = re.findall(r"java[\w.$]+", re.sub(r"<.*?>(?=[ ,]|$)", "", header[2]))
            found[name] = (set(), [parent.replace(".", "/") for parent in ["java.lang.Object", *parents]])
        elif following.strip().startswith("descriptor: "):
            member = re.split(r"[(;=]", line)[0].split()[-1]
            constructor = member.replace(".", "/") == name
            found[name][0].add(("<init>" if constructor else member, following.strip().removeprefix("descriptor: ")))
    return found


def has(known: Members, owner: str, name: str, descriptor: str) -> bool:
    """Whether a class, or one that it inherits from, has the member."""
    if owner not in known:
        return False
    own, parents = known[owner]
    inherited = name != "<init>" and any(has(known, parent, name, descriptor) for parent in parents if parent != owner)
    return (name, descriptor) in own or inherited
