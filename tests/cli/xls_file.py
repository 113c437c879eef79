"""A small file in the old format xls, written once with xlwt: a header and two rows."""

import base64
import zlib

_COMPRESSED = (
    "eNrtWE1IVFEU/u6bO84P/ow6RirYJGTlH+pkTeQ4Ok250rRNPwSlaRDGGEObWpRlriKIWhUtEmzRxmrTDxXUzkWg1CIIAq1lm4KC"
    "Fjqvc857U2oEDpRkvO9xzz333HvOPe/ee+69701PFc6M3S+bxRK0woW06UPOApmi5MsUAqB602Q2k3spmQ5WFXxemsgcN57kvfTw"
    "HPJ8z8LAPf2CKPCe0iGcRNdQciC0goiLD72KfYgSVbhJknyUildFQo8KLRZ6V1o+FdomkstCo9R2Rh3EVKyrOmKv4v1GpdTlg+0+"
    "FJ23ImlECSZ5FZ+7oqy2brSnjveeWGUVFToX46AJ7RhIDqS4XIDb8AOJRH1nZ/0BwgyCNNnj+GqGgC+ZqH4ecuQrK1cg+bfFcs9v"
    "5F6axKXya4YGhmEekSAZpeXerbnGrcp1RLfruG7EHIUKR7eVVKVu1jsoJXSrjmoX1FrdovdoN9R6vZPYFt2gNVSQsrjFBqhdlFja"
    "K2q2hbY3hEONTeG6Lc11WyNUu073UMM27efzQfaTwKL9JE/iLJdoPwqEL5RoC9ALzd35/Kqzrzt2WCTDcoZYJ80GfjGYOM8apJwv"
    "NS6hXFMtGjVCL4jVcuHLhAYpFCiv6i6xmd0j0uai1FZRP2HB69jGBfwm4kc/9jyqGP0Q20z8RMfsmeDEm9gYKunk6yd9fkZQq2rV"
    "jeuMx7FMruxd6Z3Q0l92KK8RsH037eO0APMck4RCoVaJR0f9KBn2WFklF5Vcti21xJaLRkjZtjyfbh1rirOOEns8Xs/IPyX2LhXz"
    "DuqfNsgWWzLE8mKvDLHktnu25ozn8qzBJbZylTprNYrwgJvSnvsTfjhw4MCBAwcOHDj4V6Hkjmndq/mW6Lbv7B77v848pbTzm+S/"
    "xV4M0XOKPip3IUl5CqezWj9r6EMzY0stUyfzv5Cxj3pPYRB94sdg1uuXvrnUwvdZtmLgz4VQtv2ns/HzL/f/HQ8e20U="
)
XLS = zlib.decompress(base64.b64decode(_COMPRESSED))
"""The columns are Телефон, Имя, Сумма and Дата; a number and a date are cells with a number."""
