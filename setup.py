"Packaging: everything is read from settings.ini, nbdev's own configuration."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]

readme = Path("README.md")

setup(
    name=cfg["lib_name"], version=cfg["version"], description=cfg["description"],
    keywords=cfg["keywords"].split(), author=cfg["author"], author_email=cfg["author_email"],
    license="Apache-2.0", url=cfg["git_url"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else "",
    long_description_content_type="text/markdown",
    classifiers=["Intended Audience :: Science/Research", "Programming Language :: Python :: 3"],
    packages=find_packages(include=["vdsm", "vdsm.*"]), include_package_data=False,
    package_data=dict(vdsm=["pretrained/*/*", "lib/static/*"]),  # models; scripts of the explorer
    python_requires=">=" + cfg["min_python"],
    install_requires=cfg["requirements"].split(),
    extras_require={"dev": cfg["dev_requirements"].split()},
    entry_points={"nbdev": [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"]},
)
