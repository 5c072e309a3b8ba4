"""All cases of the corpus, and the file that keeps them."""

from corpus import headers, images, manifests

FAMILIES = (headers, images, manifests)


def every_case():
    return [case for family in FAMILIES for case in family.cases()]
