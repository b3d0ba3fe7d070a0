"""Is a run what it says? A bundle from anyone is opened as data, checked as a whole, and computed again, cell by cell or by a sample.

files      every file that has a known sha256, hashed again
bundle     a published run, as a folder or an archive
material   what there is here to compute it again with: protocol, faces, metrics, methods
structure  what can be checked without computing: digest, protocol, grid, statuses, tables that must agree
sampling   which faces are drawn, and what a sample of that size finds
again      scores from the images that were handed in, and the images from the methods
compare    when two values, or two images, are the same
check      ``verify``: somebody's submission; reproduce: ``reproduce``, all of it
"""
