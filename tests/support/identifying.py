"""Sentences that tell who somebody is, with what tells it, and such as only look like it.

Nobody in them is real. Surnames and half of the given names are on no list of the check's.
"""

from __future__ import annotations

from itertools import cycle

NAMES = (
    "Jane Roe",
    "Thaddeus Quill",
    "Margaret O'Connor",
    "Ingeborg Lindqvist",
    "Carlos Ortega Ruiz",
    "Wilhelmina Tate",
    "Robert J. Hale",
    "Oyelaran Adeyemi",
    "María del Carmen Soto",
    "Anneliese Brandt",
)
NAMED = (
    "Dr. {} saw the lesion again.",
    "Patient name: {}, seen for a mole.",
    "My name is {} and I have a rash.",
    "Mrs. {} reports itching at night.",
    "Referred by {} for a changing nevus.",
    "La Sra. {} refiere prurito.",
    "Signed by {}, dermatology.",
    "Me llamo {} y tengo una mancha.",
    "Name: {}; site: left forearm.",
    "Thank you for looking.\nKind regards,\n{}",
    "Paciente: {}. Lesión en el dorso.",
    "Examined by Prof. {} today.",
)
KNOWN_NAMES = ("Linda Farnsworth", "Sergio Peñalver", "William H. Abbott", "Elena Kowalczyk")
KNOWN = (
    "The mole on {} grew for two years.",
    "Mother of {} noticed the patch first.",
    "{} has no history of melanoma.",
)
CHINESE_NAMES = ("王建国", "李娜", "张伟", "陈晓明", "赵敏", "刘德")
CHINESE_NAMED = ("姓名：{}，皮疹三天。", "请{}医生看一下。", "我叫{}，手上起水泡。", "谢谢{}主任的回复。")
DATES = (
    "03/14/2021",
    "2021-03-14",
    "14.03.2021",
    "2020/7/9",
    "March 14, 2021",
    "14 March 2021",
    "Mar 3rd",
    "June 2019",
    "14 de marzo de 2021",
    "junio de 2019",
    "the 2nd of May 2020",
    "5/6/19",
    "2010年3月5日",
    "12月4日",
    "2009年12月",
)
DATED = (
    "Biopsy on {}.",
    "First noticed {}, growing since.",
    "Visto por última vez el {}.",
    "复诊时间：{}，好转。",
)
PHONES = (
    "+1 617 555 0134",
    "(617) 253-1000",
    "020 7946 0958",
    "+34 612 345 678",
    "612 345 678",
    "13812345678",
    "+86 138 1234 5678",
    "617-253-1000",
)
PHONED = ("Call me at {}.", "Tel: {}", "Result to {} please.", "联系电话：{}", "Mi móvil es {}.")
MAILS = ("jane.roe@example.com", "t_quill99@clinic.example.org", "soto.m@correo.example.es")
MAILED = ("Write to {}.", "E-mail: {}, no reply yet.", "我的邮箱是{}。")
URLS = ("https://www.example.com/patient/77", "www.skinclinic.example.org", "photos.example.net/album?id=3")
LINKED = ("Photos are at {}", "See {} for the series.")
HANDLES = (
    ("WeChat: derm_fan88", "derm_fan88"),
    ("QQ752000111", "752000111"),
    ("微信号：wang_1988", "wang_1988"),
)
HANDLED = ("Contact: {}.", "加我{}，谢谢。")
ADDRESSES = (
    "12 Maple Street",
    "4501 N. Lincoln Ave",
    "7 Old Mill Road",
    "P.O. Box 1187",
    "Calle Mayor 12",
    "Avenida de la Constitución, 45",
    "C/ Alcalá 210",
    "人民路128号",
    "SW1A 2AA",
    "CA 94110",
)
ADDRESSED = ("She lives at {}.", "Dirección: {}", "Send the slides to {}.", "住在{}。")
RECORDS = (
    ("MRN 00482913", "00482913"),
    ("Medical record number: A-5512098", "A-5512098"),
    ("patient ID 7781234", "7781234"),
    ("NHC: 4471290", "4471290"),
    ("n.º de historia clínica 88123", ""),
    ("Accession no. S21-44120", "S21-44120"),
    ("住院号：20210098", "20210098"),
    ("病历号 445821", "445821"),
    ("Hospital No: RX99182", "RX99182"),
)
RECORDED = ("Seen in clinic, {}.", "{}; excision planned.")
NATIONALS = (
    ("SSN 536-90-4399", "536-90-4399"),
    ("12345678Z", "12345678Z"),
    ("X1234567L", "X1234567L"),
    ("11010519491231002X", "11010519491231002X"),
    ("NHS number 943 476 5870", "943 476 5870"),
    ("passport no. X4410228", "X4410228"),
    ("身份证号：110105194912310", "110105194912310"),
)
IDENTIFIED = ("Registered under {}.", "{} is on file.")
AGES = (
    ("a 93-year-old man", "93"),
    ("aged 97", "97"),
    ("de 92 años", "92"),
    ("患者91岁", "91"),
    ("95 y/o", "95"),
)
AGED = ("This is {} with a plaque.", "Female, {}, ulcer on the leg.")
ACCOUNTS = ("4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32", "ES91 2100 0418 4502 0005 1332")
PAID = ("Paid with {}.", "Refund to {} please.")


def planted() -> list[tuple[str, str, str]]:
    """(kind, sentence, what it must find in it) of every sentence that tells something."""
    rows = [("name", *_filled(form, name)) for form, name in zip(cycle(NAMED), NAMES * 4, strict=False)]
    rows += [("name", *_filled(form, name)) for form in KNOWN for name in KNOWN_NAMES]
    rows += [("name", *_filled(form, name)) for form in CHINESE_NAMED for name in CHINESE_NAMES]
    rows += [("date", *_filled(form, date)) for form in DATED for date in DATES]
    rows += [("phone", *_filled(form, phone)) for form in PHONED for phone in PHONES]
    rows += [("e-mail", *_filled(form, mail)) for form in MAILED for mail in MAILS]
    rows += [("url", *_filled(form, url)) for form in LINKED for url in URLS]
    rows += [("address", *_filled(form, address)) for form in ADDRESSED for address in ADDRESSES]
    rows += [("account", *_filled(form, account)) for form in PAID for account in ACCOUNTS]
    for kind, forms, pairs in (
        ("handle", HANDLED, HANDLES),
        ("record number", RECORDED, RECORDS),
        ("national id", IDENTIFIED, NATIONALS),
        ("age over 89", AGED, AGES),
    ):
        rows += [(kind, form.format(text), told) for form in forms for text, told in pairs if told]
    return rows


def _filled(form: str, value: str) -> tuple[str, str]:
    return form.format(value), value


FINDINGS = (
    "melanoma",
    "a Spitz nevus",
    "Bowen disease",
    "a Clark nevus",
    "Kaposi sarcoma",
    "a Merkel cell carcinoma",
    "basal cell carcinoma",
    "a blue nevus",
)
PLAIN_FORMS = (
    "Asymmetry 2/2, border 5/8, colour 3/6: {}.",
    "{} of 3.5 x 4.2 mm, Breslow 0.75 mm, Clark level II.",
    "Mohs surgery for {} on the left cheek in 2019.",
    "ICD-10 C43.9, T1b N0 M0; consistent with {}.",
    "Fitzpatrick type IV skin; Wood's lamp negative; {}.",
    "Grown for 10-12 months, {} suspected in the 2010s.",
    "May be {}. Mark the site, take 3-4 photos at 10x.",
    "Dr recommended 100-200 mg daily; {} excluded.",
    "Image ISIC_0024306, view 1/2, shows {}.",
    "A 64-year-old patient with {}; 90% of it regressed.",
    "Ratio 1.5:2.3, area 12.5 mm2, p < 0.001 for {}.",
    "Patient: male, 45 years. Diagnosis: {}.",
    "The Patient Reports pain 7/10 over {}; BP 130/85.",
    "Doctor, please tell me whether this is {}.",
    "See section 3.2.1 and figure 4-2 on {}.",
    "Vitamin B12 1000 mcg, SPF 50, {} ruled out in summer 2018.",
)
PLAIN_SPANISH = (
    "Lesión de 3 por 4 mm en la calle... digo, en el brazo.",
    "Desde hace 2 años, sin fiebre.",
    "Paciente de 45 años, varón.",
    "El doctor dice que puede ser un nevo.",
    "Tratamiento: 2 veces al día, 10 días.",
    "Hola doctor, tengo una mancha.",
    "Presenta placas eritematosas en 2015.",
    "Gracias por su ayuda, Doctor.",
    "Don de sueño: ninguno.",
    "Mancha de color marrón, bordes nítidos.",
)
PLAIN_CHINESE = (
    "患者男，45岁，皮疹三天。",
    "请各位医生看看是什么病。",
    "手背部出现暗红色皮疹，逐渐变成白斑。",
    "病程3年6个月。",
    "许多医生都说是湿疹。",
    "主治医生建议活检。",
    "高级医生也不确定。",
    "2009年开始发病。",
    "患者女性，面部红斑1月。",
    "外用药膏每日2次，用10天。",
    "黄色分泌物较多。",
    "方先前治疗无效。",
    "白色斑点约5mm。",
    "病人今年60岁。",
    "3月来反复发作。",
)


def plain() -> list[str]:
    """Sentences that tell nobody's identity."""
    english = [form.format(finding) for form in PLAIN_FORMS for finding in FINDINGS]
    shouting = [sentence.replace("a ", "the ", 1).capitalize() for sentence in english[::2]]
    return [*english, *shouting, *PLAIN_SPANISH, *PLAIN_CHINESE]


HARD = (  # in other ways than the rules were written for; a part of them is missed
    ("name", "Saw Ms Farnsworth-Bligh in clinic, she is worried.", "Farnsworth-Bligh"),
    ("name", "Discussed with Thaddeus about excision.", "Thaddeus"),
    ("name", "pt Quill c/o itching for a week", "Quill"),
    ("name", "ROE, JANE: punch biopsy, left calf", "ROE, JANE"),
    ("name", "cc: Anneliese Brandt, Plastic Surgery", "Anneliese Brandt"),
    ("name", "Hola, soy Lucía Peñalver, tengo manchas", "Lucía Peñalver"),
    ("name", "Le habla la mamá de Mateo Quiroga.", "Mateo Quiroga"),
    ("name", "jane roe, female, 44", "jane roe"),
    ("name", "Thanks again, Priya", "Priya"),
    ("name", "Dictated but not read. K. Lindqvist, MD", "K. Lindqvist"),
    ("name", "王女士，34岁，面部红斑。", "王"),
    ("name", "我儿子叫刘子轩，今年6岁。", "刘子轩"),
    ("name", "小李说他的疹子好了。", "小李"),
    ("name", "Dra. Iturriaga recomienda control.", "Iturriaga"),
    ("date", "DOB 3.4.1961, smoker", "3.4.1961"),
    ("date", "d.o.b. 12 Jan '61", "12 Jan"),
    ("date", "seen 12/3 and again a week later", "12/3"),
    ("date", "Tues 4th June: stitches out", "4th June"),
    ("date", "Control el 4 jun 2020.", "4 jun 2020"),
    ("date", "20210314_biopsy result attached", "20210314"),
    ("date", "Excised on 2021-03-14T10:22:00Z.", "2021-03-14"),
    ("date", "从09年12月开始", "09年12月"),
    ("date", "nacido el 3-5-1950 en Sevilla", "3-5-1950"),
    ("phone", "ring me on 07911 123456 after six", "07911 123456"),
    ("phone", "office 617.253.1000 ext 44", "617.253.1000"),
    ("phone", "my number's 253-1000", "253-1000"),
    ("phone", "llámeme al 93 412 34 56", "93 412 34 56"),
    ("phone", "010-62781234 找我", "010-62781234"),
    ("e-mail", "jane (at) example dot com", "jane (at) example dot com"),
    ("e-mail", "reach me: JANE.ROE@EXAMPLE.COM!", "JANE.ROE@EXAMPLE.COM"),
    ("url", "pics on flickr.com/photos/jroe77", "flickr.com/photos/jroe77"),
    ("address", "Flat 3, 22 Acacia Gardens", "22 Acacia Gardens"),
    ("address", "1600 Pennsylvania Avenue NW", "1600 Pennsylvania Avenue"),
    ("address", "vive en Gran Vía 28, 3º B", "Gran Vía 28"),
    ("address", "北京市朝阳区建国路88号", "建国路88号"),
    ("address", "the blue house on Elm Street", "Elm Street"),
    ("record number", "MRN#: 00-48-29-13", "00-48-29-13"),
    ("record number", "Case S22-10294, block A1", "S22-10294"),
    ("record number", "Pt. ID:44-120-9", "44-120-9"),
    ("record number", "门诊病历:A202103140017", "A202103140017"),
    ("national id", "social 536904399", "536904399"),
    ("national id", "DNI 12.345.678-Z", "12.345.678-Z"),
    ("age over 89", "93F, lesion on the nose", "93"),
    ("age over 89", "my 96 year old grandmother", "96"),
)
