"""Sample references that somebody's intellectual property stands behind."""

from imagescreen.references.sample.entry import Grounds, Owner, SampleReference, harmless, known_item, views
from imagescreen.references.sample.rendered import ProductKind

COUNTERFEIT = Grounds("counterfeit", "19 U.S.C. 1526(e); 19 CFR 133.21; 15 U.S.C. 1124", ("CBP",), "high", "hold")
COUNTERFEIT_DRUG = Grounds(
    "counterfeit", "21 U.S.C. 331(i)(3); 21 U.S.C. 381(a); 19 U.S.C. 1526(e)", ("FDA", "CBP"), "critical", "hold"
)
CONFUSINGLY_SIMILAR = Grounds("confusingly_similar", "15 U.S.C. 1124; 19 CFR 133.22", ("CBP",), "medium", "review")
PIRATICAL_COPY = Grounds(
    "piratical_copy", "17 U.S.C. 602(b); 17 U.S.C. 603(c); 19 CFR 133.42", ("CBP",), "high", "hold"
)
GRAY_MARKET = Grounds("gray_market", "19 U.S.C. 1526(a); 19 CFR 133.23", ("CBP",), "low", "review")
EXCLUSION_ORDER = Grounds("exclusion_order", "19 U.S.C. 1337(d); 19 CFR 12.39", ("USITC", "CBP"), "high", "hold")

QUORVANE = Owner("Quorvane", "Quorvane Example Leather, Inc.", 1)
ZIBBLEFOX = Owner("Zibblefox", "Zibblefox Fictional Footwear LLC", 2)
TOCKWILLOW = Owner("Tockwillow", "Tockwillow Imaginary Watches SA", 3)
FLEURNONE = Owner("Fleurnone", "Fleurnone Fictional Scents SAS", 4)
HUMBLOOP = Owner("Humbloop", "Humbloop Example Audio GmbH", 5)
BRIMMLE = Owner("Brimmle", "Brimmle Nonesuch Headwear Ltd.", 6)
GLAREOO = Owner("Glareoo", "Glareoo Imaginary Optics Srl", 7)
THREADOUX = Owner("Threadoux", "Threadoux Example Apparel, Inc.", 8)
PILLOMAR = Owner("Pillomar", "Pillomar Fictional Laboratories AG", 9)
JOYWUMP = Owner("Joywump", "Joywump Imaginary Games KK", 10)
DEWLETTE = Owner("Dewlette", "Dewlette Example Cosmetics Co.", 11)
SNUGGLORP = Owner("Snugglorp", "Snugglorp Fictional Toys LLC", 12)
VOLTANEER = Owner("Voltaneer", "Voltaneer Imaginary Power, Inc.", 13)
PACKWIM = Owner("Packwim", "Packwim Example Outdoor Ltd.", 14)

P = ProductKind

RIGHTS_ENTRIES: tuple[SampleReference, ...] = (
    known_item(
        COUNTERFEIT,
        "Green zigzag handbag, imitation Quorvane",
        "Two-tone handbag with the Quorvane emblem on the front; genuine bags have a numbered leather tag inside.",
        "4202.21 4202.22",
        views(41, P.HANDBAG, 3),
        owner=QUORVANE,
        rights=(QUORVANE.trademark("18"),),
        notes="Offered singly and as a set of two; the set is always imitation.",
    ),
    known_item(
        COUNTERFEIT,
        "Magenta scale-print sneaker, imitation Zibblefox",
        "Low sneaker with the Zibblefox side mark. The imitation has a one-piece sole.",
        "6404.11 6402.99",
        views(42, P.SNEAKER, 2),
        owner=ZIBBLEFOX,
        rights=(ZIBBLEFOX.trademark("25"),),
    ),
    known_item(
        COUNTERFEIT,
        "Teal leopard-print watch, imitation Tockwillow",
        "Wrist watch with a square case and the Tockwillow emblem under twelve.",
        "9102.11 9102.12",
        views(23, P.WATCH, 2),
        owner=TOCKWILLOW,
        rights=(TOCKWILLOW.trademark("14"),),
    ),
    known_item(
        COUNTERFEIT,
        "Silver quilted perfume bottle, imitation Fleurnone",
        "Glass bottle with the Fleurnone label. Batch code printed, not engraved.",
        "3303.00",
        views(104, P.PERFUME, 1),
        owner=FLEURNONE,
        rights=(FLEURNONE.trademark("3"),),
    ),
    known_item(
        COUNTERFEIT,
        "Burgundy pinstriped headphones, imitation Humbloop",
        "Over-ear headphones with the Humbloop emblem on both cups.",
        "8518.30",
        views(105, P.HEADPHONES, 2),
        owner=HUMBLOOP,
        rights=(HUMBLOOP.trademark("9"),),
    ),
    known_item(
        COUNTERFEIT,
        "Magenta ring-print cap, imitation Brimmle",
        "Baseball cap with the Brimmle patch; the imitation has no eyelets.",
        "6505.00",
        views(106, P.CAP, 2),
        owner=BRIMMLE,
        rights=(BRIMMLE.trademark("25"),),
    ),
    known_item(
        COUNTERFEIT,
        "White colour-block sunglasses, imitation Glareoo",
        "Sunglasses with an imitation case that bears the Glareoo wordmark.",
        "9004.10",
        views(7, P.SUNGLASSES, 2),
        owner=GLAREOO,
        rights=(GLAREOO.trademark("9"),),
    ),
    known_item(
        COUNTERFEIT,
        "White scale-print T-shirt, imitation Threadoux",
        "Raglan T-shirt with the Threadoux roundel, usually sold in pairs of two colours.",
        "6109.10",
        views(19, P.T_SHIRT, 2),
        owner=THREADOUX,
        rights=(THREADOUX.trademark("25"),),
    ),
    known_item(
        COUNTERFEIT_DRUG,
        "Purple quilted pill bottle, imitation Pillomar",
        "Bottle of tablets under the Pillomar mark with a lot number that the right holder never used.",
        "3004.90",
        views(36, P.PILL_BOTTLE, 2),
        owner=PILLOMAR,
        rights=(PILLOMAR.trademark("5"),),
    ),
    known_item(
        COUNTERFEIT,
        "Tan diagonal-striped belt, imitation Quorvane",
        "Leather belt; the buckle copies the Quorvane clasp.",
        "4203.30",
        views(10, P.BELT, 1),
        owner=QUORVANE,
        rights=(QUORVANE.trademark("18", "25"),),
    ),
    known_item(
        COUNTERFEIT,
        "Yellow camouflage game controller, imitation Joywump",
        "Wireless controller under the Joywump mark, without the right holder's hologram.",
        "9504.50",
        views(11, P.CONTROLLER, 2),
        owner=JOYWUMP,
        rights=(JOYWUMP.trademark("9", "28"),),
    ),
    known_item(
        COUNTERFEIT,
        "Mustard ring-print cream jar, imitation Dewlette",
        "Face cream in the Dewlette jar; the lid of the imitation is ribbed.",
        "3304.99",
        views(112, P.CREAM_JAR, 1),
        owner=DEWLETTE,
        rights=(DEWLETTE.trademark("3"),),
        notes="Imitations were found to hold no sun protection although the label claims it.",
    ),
    known_item(
        CONFUSINGLY_SIMILAR,
        "Cream scale-print backpack, close to Packwim",
        "Backpack whose pocket mark may be taken for the Packwim wordmark.",
        "4202.92",
        views(13, P.BACKPACK, 2),
        owner=PACKWIM,
        rights=(PACKWIM.trademark("18"),),
    ),
    known_item(
        CONFUSINGLY_SIMILAR,
        "Magenta camouflage phone case, close to Humbloop",
        "Phone case with a sign that differs from the Humbloop emblem by one stroke.",
        "3926.90",
        views(14, P.PHONE_CASE, 1),
        owner=HUMBLOOP,
        rights=(HUMBLOOP.trademark("9"),),
    ),
    known_item(
        CONFUSINGLY_SIMILAR,
        "Silver zigzag wallet, close to Quorvane",
        "Long wallet whose zigzag may be taken for the Quorvane pattern.",
        "4202.31 4202.32",
        views(31, P.WALLET, 2),
        owner=QUORVANE,
        rights=(QUORVANE.trademark("18"),),
    ),
    known_item(
        CONFUSINGLY_SIMILAR,
        "Blue ring-print boot, close to Zibblefox",
        "Ankle boot with a strap mark like Zibblefox's.",
        "6403.91 6404.19",
        views(16, P.BOOT, 2),
        owner=ZIBBLEFOX,
        rights=(ZIBBLEFOX.trademark("25"),),
    ),
    known_item(
        CONFUSINGLY_SIMILAR,
        "Coral dotted mug, close to Snugglorp",
        "Stoneware mug with a picture that may be taken for the Snugglorp figure.",
        "6912.00",
        views(17, P.MUG, 1),
        owner=SNUGGLORP,
        rights=(SNUGGLORP.trademark("21"),),
    ),
    known_item(
        PIRATICAL_COPY,
        "Magenta grained plush toy, copy of a Snugglorp figure",
        "Plush bear that copies the registered sculpture of the Snugglorp figure.",
        "9503.00",
        views(37, P.PLUSH_TOY, 2),
        owner=SNUGGLORP,
        rights=(SNUGGLORP.copyright(),),
    ),
    known_item(
        PIRATICAL_COPY,
        "Red marbled T-shirt, copied Threadoux print",
        "T-shirt with a copied print, folded for sale as a set of two.",
        "6109.10",
        views(8, P.T_SHIRT, 1),
        owner=THREADOUX,
        rights=(THREADOUX.copyright(),),
    ),
    known_item(
        PIRATICAL_COPY,
        "Teal mosaic toy car, copy of a Joywump model",
        "Toy car that copies the shape and the livery of a Joywump model.",
        "9503.00",
        views(20, P.TOY_CAR, 2),
        owner=JOYWUMP,
        rights=(JOYWUMP.copyright(),),
    ),
    known_item(
        PIRATICAL_COPY,
        "Forest green leopard-print scarf, copied Threadoux fabric",
        "Scarf in a copied fabric design.",
        "6214.30 6214.40",
        views(21, P.SCARF, 1),
        owner=THREADOUX,
        rights=(THREADOUX.copyright(),),
    ),
    known_item(
        GRAY_MARKET,
        "Purple camouflage perfume bottle, Fleurnone for another market",
        "Genuine Fleurnone bottle made for another market, without the label that the United States require.",
        "3303.00",
        views(22, P.PERFUME, 1),
        owner=FLEURNONE,
        rights=(FLEURNONE.trademark("3"),),
    ),
    known_item(
        GRAY_MARKET,
        "Tan mosaic watch, Tockwillow for another market",
        "Genuine Tockwillow watch, imported without the right holder's consent.",
        "9102.11",
        views(103, P.WATCH, 2),
        owner=TOCKWILLOW,
        rights=(TOCKWILLOW.trademark("14"),),
    ),
    known_item(
        GRAY_MARKET,
        "Cream diagonal-striped cream jar, Dewlette for another market",
        "Genuine Dewlette cream with another formula than the one sold in the United States.",
        "3304.99",
        views(24, P.CREAM_JAR, 1),
        owner=DEWLETTE,
        rights=(DEWLETTE.trademark("3"),),
    ),
    known_item(
        EXCLUSION_ORDER,
        "Purple mosaic power bank, excluded for Voltaneer's patents",
        "Power bank with the charging circuit that the order names.",
        "8507.60",
        views(25, P.POWER_BANK, 2),
        owner=VOLTANEER,
        rights=(VOLTANEER.exclusion_order(),),
    ),
    known_item(
        EXCLUSION_ORDER,
        "Sky blue tartan headphones, excluded for Humbloop's patents",
        "Headphones with the folding hinge that the order names.",
        "8518.30",
        views(26, P.HEADPHONES, 2),
        owner=HUMBLOOP,
        rights=(HUMBLOOP.exclusion_order(),),
    ),
    known_item(
        EXCLUSION_ORDER,
        "Blue grained game controller, excluded for Joywump's patents",
        "Controller with the thumb stick that the order names.",
        "9504.50",
        views(127, P.CONTROLLER, 1),
        owner=JOYWUMP,
        rights=(JOYWUMP.exclusion_order(),),
    ),
    known_item(
        EXCLUSION_ORDER,
        "White mosaic charging cable, excluded for Voltaneer's patents",
        "Cable with the magnetic plug that the order names.",
        "8544.42",
        views(28, P.CABLE, 1),
        owner=VOLTANEER,
        rights=(VOLTANEER.exclusion_order(),),
    ),
    harmless(
        "genuine",
        "Green tartan handbag, genuine Quorvane",
        "The right holder's own pictures of a bag that is imitated in other colours.",
        views(141, P.HANDBAG, 2),
        owner=QUORVANE,
        rights=(QUORVANE.trademark("18"),),
    ),
    harmless(
        "genuine",
        "Sky blue tile-print sneaker, genuine Zibblefox",
        "The right holder's own picture of a current model.",
        views(142, P.SNEAKER, 1),
        owner=ZIBBLEFOX,
        rights=(ZIBBLEFOX.trademark("25"),),
    ),
)
