# What an app calls by a relative name lies in its own data folder, by open() and by os alike.
# heap: 2m

import os

from kernel_lab import ROOT, ended, from_files, kernel_test, log, write

PROGRAM = """
import os
import io
from os import stat
assert os.getcwd() == {data!r}, os.getcwd()
try:
    open("missing")
    print("found")
except OSError as exc:
    assert exc.errno == 2
assert not {made} or os.listdir() == ["other"], os.listdir()
with open("notes", "w") as file:
    file.write({text!r})
assert stat("notes")[6] == {size}
os.mkdir("sub")
os.rename("notes", "sub/notes")
assert [entry[0] for entry in os.ilistdir("sub")] == ["notes"]
os.chdir("sub")
assert os.getcwd() == {data!r} + "/sub"
assert open("notes").read() == open({data!r} + "/sub/notes").read() == {text!r}
for place in ("nowhere", "notes"):  # is not there; is no folder
    try:
        os.chdir(place)
        raise AssertionError(place)
    except OSError as exc:
        assert os.getcwd() == {data!r} + "/sub"
os.chdir("..")
with io.open("more", "wb") as file:
    file.write(b"1")
os.remove("more")
assert sorted(os.listdir(".")) == {left}, os.listdir(".")
assert open({elsewhere!r}).read() == "absolute"
print("done")
"""


def program(name, text, made):
    text = PROGRAM.format(
        data=ROOT + "/data/" + name,
        text=text,
        size=len(text),
        made=made,
        left=["other", "sub"] if made else ["sub"],
        elsewhere=ROOT + "/elsewhere",
    )
    return {"main.py": text}


@kernel_test
async def test_each_app_has_its_own_files_under_the_same_names(kernel):
    write(ROOT + "/elsewhere", "absolute")
    write(ROOT + "/data/two/other", "")
    apps = [
        from_files(kernel, "one", program("one", "of one", False)),
        from_files(kernel, "two", program("two", "of the second", True)),
    ]
    for app in apps:
        await ended(app, "ended", 0)
        assert log(app.name) == "done"
    for name, text in (("one", "of one"), ("two", "of the second")):
        with open(ROOT + "/data/" + name + "/sub/notes") as file:
            assert file.read() == text


@kernel_test
async def test_an_app_that_only_reads_makes_no_folder(kernel):
    app = from_files(kernel, "reads", {"main.py": "import os\nos.stat('x')\n"})
    await ended(app, "failed")
    assert "OSError: [Errno 2] ENOENT" in log("reads")
    assert "data" not in os.listdir(ROOT)
