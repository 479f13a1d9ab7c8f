// SPDX-License-Identifier: GPL-3.0-or-later
// The tables of a small club, as TypeORM describes them.
"use strict";
const { EntitySchema } = require("typeorm");

// What differs between the two databases, as TypeORM's own documentation advises.
exports.entities = (onSqlite, release) => {
  const instant = onSqlite ? "datetime" : "timestamptz";
  const bytes = onSqlite ? "blob" : "bytea";
  const now = onSqlite ? () => "CURRENT_TIMESTAMP" : () => "now()";
  const member = {
    id: { type: "integer", primary: true, generated: "increment" },
    name: { type: "varchar", length: 60 },
    email: { type: "varchar", nullable: true, unique: true },
    level: { type: "simple-enum", enum: ["guest", "full", "gone é"], default: "guest" },
    active: { type: "boolean", default: true },
    joined: { type: instant, createDate: true, default: now },
    changed: { type: instant, updateDate: true, default: now },
    left: { type: instant, deleteDate: true, nullable: true },
    born: { type: "date", nullable: true },
    wakes: { type: "time", nullable: true },
    settings: { type: "simple-json", nullable: true },
    labels: { type: "simple-array", nullable: true },
    photo: { type: bytes, nullable: true },
    version: { type: "integer", version: true },
  };
  if (release > 1) member.nick = { type: "varchar", nullable: true };
  return [
    new EntitySchema({
      name: "Member",
      tableName: "member",
      columns: member,
      relations: {
        sponsor: { type: "many-to-one", target: "Member", nullable: true, onDelete: "SET NULL", joinColumn: true },
        groups: { type: "many-to-many", target: "Group", joinTable: true },
      },
      indices: release > 1 ? [] : [{ name: "member_by_name", columns: ["name", "active"] }],
    }),
    new EntitySchema({
      name: "Group",
      tableName: "group",
      columns: {
        id: { type: "uuid", primary: true, generated: "uuid" },
        title: { type: "varchar", unique: true },
        parentId: { type: "uuid", nullable: true },
      },
    }),
    new EntitySchema({
      name: "Payment",
      tableName: "payment",
      columns: {
        id: { type: "integer", primary: true, generated: "increment" },
        amount: { type: "decimal", precision: 10, scale: 2 },
        rate: { type: onSqlite ? "double" : "double precision", nullable: true },
        cents: { type: "bigint", default: 0 },
        paidAt: { type: instant },
        note: { type: "text", default: "" },
      },
      relations: {
        member: { type: "many-to-one", target: "Member", nullable: false, onDelete: "CASCADE", joinColumn: true },
      },
      uniques: release > 1 ? [] : [{ name: "payment_once", columns: ["member", "paidAt"] }],
      checks: [{ name: "payment_positive", expression: '"amount" > 0' }],
    }),
  ];
};
