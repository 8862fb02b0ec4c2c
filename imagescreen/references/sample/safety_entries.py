"""Sample references that are about health, safety and protected species, and pictures that show no goods."""

from imagescreen.references.sample.entry import Grounds, SampleReference, harmless, known_item, views
from imagescreen.references.sample.rendered import ProductKind

UNAPPROVED_DRUG = Grounds("prohibited", "21 U.S.C. 381(a); 21 U.S.C. 355(a)", ("FDA", "CBP"), "critical", "hold")
IVORY = Grounds("prohibited", "16 U.S.C. 1538(a)(1)(A); 50 CFR 17.40(e)", ("FWS", "CBP"), "critical", "hold")
PROTECTED_SPECIES = Grounds("prohibited", "16 U.S.C. 1538(c); 50 CFR 23.13", ("FWS", "CBP"), "critical", "hold")
LITHIUM_BATTERY = Grounds("restricted", "49 CFR 173.185", ("PHMSA", "CBP"), "medium", "review")
CERAMICWARE = Grounds("restricted", "21 U.S.C. 381(a); 21 CFR 109.16", ("FDA",), "medium", "review")
EYEWEAR = Grounds("restricted", "21 CFR 801.410", ("FDA",), "low", "review")
EPHEDRINE = Grounds("restricted", "21 U.S.C. 342(f)(1); 21 CFR 119.1", ("FDA",), "high", "hold")
RECALLED = Grounds("recalled", "15 U.S.C. 2064; 15 U.S.C. 2068(a)(2)", ("CPSC", "CBP"), "high", "hold")
LEAD_PAINT = Grounds("recalled", "15 U.S.C. 2068(a)(2); 16 CFR part 1303", ("CPSC", "CBP"), "high", "hold")
LEAD_CONTENT = Grounds("recalled", "15 U.S.C. 2068(a)(2); 15 U.S.C. 1278a", ("CPSC", "CBP"), "high", "hold")

P = ProductKind

SAFETY_ENTRIES: tuple[SampleReference, ...] = (
    known_item(
        UNAPPROVED_DRUG,
        "Burgundy scale-print pill blister, unapproved drug",
        "Blister pack of tablets that are not approved in the United States; carton without a label in English.",
        "3004.90",
        views(29, P.PILL_BLISTER, 2),
        notes="Also seen without the carton.",
    ),
    known_item(
        IVORY,
        "Coral diagonal-striped necklace with ivory pendant",
        "Necklace on a card, offered as bone; the pendant is elephant ivory.",
        "9601.10 7117.90",
        views(130, P.NECKLACE, 2),
    ),
    known_item(
        PROTECTED_SPECIES,
        "Olive leopard-print wallet of a protected species",
        "Envelope wallet of the skin of a species of Appendix I, without a permit.",
        "4202.31",
        views(115, P.WALLET, 1),
    ),
    known_item(
        PROTECTED_SPECIES,
        "Burgundy camouflage scarf of shahtoosh",
        "Fine scarf of the wool of the Tibetan antelope, an Appendix I species.",
        "6214.20",
        views(121, P.SCARF, 2),
    ),
    known_item(
        LITHIUM_BATTERY,
        "Teal dotted power bank without a test summary",
        "Lithium-ion power bank that is sent without the marks and the test summary that carriage needs.",
        "8507.60",
        views(33, P.POWER_BANK, 2),
    ),
    known_item(
        CERAMICWARE,
        "Orange leopard-print mug with decorative glaze",
        "Ornamental mug that gives off lead and lacks the permanent label that says it is not for food.",
        "6912.00",
        views(34, P.MUG, 2),
    ),
    known_item(
        EYEWEAR,
        "Green ring-print sunglasses without impact test",
        "Sunglasses whose lenses come without the record of an impact test.",
        "9004.10",
        views(135, P.SUNGLASSES, 1),
    ),
    known_item(
        EPHEDRINE,
        "Forest green mosaic pill bottle, ephedrine supplement",
        "Dietary supplement that contains ephedrine alkaloids.",
        "2106.90",
        views(109, P.PILL_BOTTLE, 1),
    ),
    known_item(
        RECALLED,
        "Purple grained plush toy, recalled",
        "Plush bear whose eyes come off: small parts, recalled for danger of choking.",
        "9503.00",
        views(137, P.PLUSH_TOY, 3),
        notes="Recall SAMPLE-00-901. Later lots have embroidered eyes and are not concerned.",
    ),
    known_item(
        LEAD_PAINT,
        "Purple ombre toy car, recalled",
        "Toy car whose paint holds more lead than allowed.",
        "9503.00",
        views(38, P.TOY_CAR, 2),
        notes="Recall SAMPLE-00-902.",
    ),
    known_item(
        LEAD_CONTENT,
        "Cream grained necklace for children, recalled",
        "Children's jewellery; the clasp holds more lead than allowed.",
        "7117.19 7117.90",
        views(39, P.NECKLACE, 1),
        notes="Recall SAMPLE-00-903.",
    ),
    known_item(
        RECALLED,
        "Brown ombre power bank, recalled",
        "Power bank whose cells overheat: recalled for danger of fire.",
        "8507.60",
        views(140, P.POWER_BANK, 1),
        notes="Recall SAMPLE-00-904.",
    ),
    harmless("not_goods", "Size chart", "A table of sizes, shown beside the goods.", views(1, P.SIZE_CHART, 1)),
    harmless("not_goods", "No image available", "What a shop shows without a picture.", views(1, P.PLACEHOLDER, 1)),
)
